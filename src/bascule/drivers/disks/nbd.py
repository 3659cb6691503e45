"""Disks behind an NBD server: any export as a source, whole or by a dirty bitmap, and as a sink.

Each thread that reads or writes has a connection of its own, and large buffers
travel as requests of 512 KiB, eight at a time. An export must stand still while it
is read: a server that comes back with another disk of the same name is noticed
only if size or contexts differ.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent, intersect, merge, split, subtract, union
from bascule.model.errors import Missing, Refused
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import DEPTH, Client
from bascule.wire.nbd.connecting import Access, contexts_of
from bascule.wire.nbd.lent import Connect

from .connections import Connections
from .faults import check_range

PLAIN: Final = Access()
ALLOCATION: Final = "base:allocation"
BITMAPS: Final = "qemu:dirty-bitmap:"
LAYERS: Final = "qemu:allocation-depth"
_ZERO: Final = 2  # of base:allocation
_ABSENT: Final = 1
_CAN_ZERO: Final = 1 << 6  # NBD_FLAG_SEND_WRITE_ZEROES
# So much of a disk is asked about before a connection is given back.
_STEP: Final = 64 << 30
_SHORT_DEPTH: Final = 16
"""Requests under way where they are short, as those of a frozen disk are."""
_LISTED: Final = 1 << 16
"""So many extents are kept, which are asked for more than once: a few MiB."""
_ZEROES: Final = memoryview(bytes(1 << 20))


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is known of a disk that QEMU holds frozen by a filter, beside what the frozen one says.

    ``fresh`` is the context of a bitmap that records since before the instant. Where a range begins with what
    was overwritten and goes on with what was not, QEMU 7.2 looks at the disk as it is now: it says that the
    range is zero, or reads zeroes, though it was not. Hence what was overwritten is asked for last, all of it
    is read, and by single blocks, each of which is overwritten or not.

    ``disk`` is an export of the disk as it goes on. Of what lies in images below it the frozen one says only
    that it is absent. That was not overwritten, so what the disk called zero a moment before was so then.
    """

    fresh: str = ""
    disk: Connections | None = None

    def zeroes(self, start: int, length: int) -> list[Extent]:
        """Return what of a range the disk as it goes on knows to be zero."""
        if self.disk is None:
            return []
        with self.disk.client() as client:
            found = client.extents(ALLOCATION, start, length)
            return [Extent(offset, size) for offset, size, flags in found if flags & _ZERO]


class NbdSource:
    """An export, read whole or as far as a dirty bitmap says.

    A disk that QEMU holds frozen by a filter is told of by what it was and what it is: see ``Frozen``.
    """

    is_near = False

    def __init__(
        self, connections: Connections, context: str = ALLOCATION, frozen: Frozen = Frozen()
    ) -> None:
        self._connections = connections
        self._frozen = frozen
        self._context = context
        self.is_delta = context != ALLOCATION
        self.size_bytes = connections.first.size_bytes
        self._name = connections.first.name
        self._unit = connections.first.block_sizes.minimum
        self._listed: list[Extent] | None = None

    @classmethod
    def connect(
        cls, address: Address, *, bitmap: str = "", fresh: str = "", holes: str = "", access: Access = PLAIN
    ) -> NbdSource:
        """Open an export; with ``bitmap`` only what that dirty bitmap marks is read, or Missing is raised."""
        context = BITMAPS + bitmap if bitmap else ALLOCATION
        marks = BITMAPS + fresh if fresh else ""
        wanted = [name for name in (context, marks) if name]

        def connect() -> Client:
            return Client.connect(address, contexts=wanted, access=access)

        def alive() -> Client:
            return Client.connect(address, export=holes, contexts=(ALLOCATION,), access=access)

        first = connect()
        for context_name in wanted:
            if context_name.startswith(BITMAPS) and context_name not in first.contexts:
                first.close()
                name = context_name.removeprefix(BITMAPS)
                raise _no_bitmap(name, str(address), contexts_of(address, queries=(BITMAPS,), access=access))
        with _closing_on_failure(first):
            disk = Connections(alive(), alive) if holes else None
            return cls(Connections(first, connect), context, Frozen(marks, disk))

    @classmethod
    def lent(cls, connect: Connect, export: str, *, bitmap: str = "") -> NbdSource:
        """Open an export over connections that its owner makes and ends."""
        context = BITMAPS + bitmap if bitmap else ALLOCATION

        def over() -> Client:
            return Client.over(connect(), export=export, contexts=(context,), is_lent=True)

        first = over()
        if bitmap and context not in first.contexts:
            first.close()
            raise _no_bitmap(bitmap, export, [])
        return cls(Connections(first, over), context)

    def extents(self) -> Iterator[Extent]:
        """Yield what is dirty, or what may hold data; all of it where the server does not tell."""
        if self._context not in self._connections.first.contexts:
            return iter((Extent(0, self.size_bytes),) if self.size_bytes else ())
        return self._listing() if self._listed is None else iter(self._listed)

    def expect(self, extents: Sequence[Extent]) -> None:
        """See DiskSource; there is nothing to begin."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        self.read_many([(offset, buffer)])

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset, several requests at a time."""
        for offset, buffer in pieces:
            check_range(self._name, self._connections.is_open, self.size_bytes, offset, len(buffer))
        if by_block := self.is_delta or bool(self._frozen.fresh):
            pieces = [block for piece in pieces for block in _blocks(*piece)]
        with self._connections.client() as client:
            odd = [piece for piece in pieces if (piece[0] | len(piece[1])) % self._unit]
            even = (
                piece for piece in pieces if len(piece[1]) and not (piece[0] | len(piece[1])) % self._unit
            )
            cuts = (cut for piece in even for cut in client.pieces(*piece))
            for _ in client.read_many(cuts, _SHORT_DEPTH if by_block else DEPTH):
                pass
            for offset, buffer in odd:
                read_aligned(client, self._unit, offset, buffer)

    def close(self) -> None:
        """Close all connections; safe to call twice."""
        self._connections.close()
        if self._frozen.disk is not None:
            self._frozen.disk.close()

    def _listing(self) -> Iterator[Extent]:
        """Yield what is marked, and keep it if it is little; a bitmap that records on may say more later."""
        kept: list[Extent] = []
        for extent in merge(self._marked()):
            if len(kept) <= _LISTED:
                kept.append(extent)
            yield extent
        if len(kept) <= _LISTED:
            self._listed = kept

    def _marked(self) -> Iterator[Extent]:
        for start in range(0, self.size_bytes, _STEP):
            length = min(_STEP, self.size_bytes - start)
            # In this order: see Frozen.
            zero = self._frozen.zeroes(start, length)
            with self._connections.client() as client:
                found = list(client.extents(self._context, start, length))
                fresh = _marks(client, self._frozen.fresh, start, length)
            yield from union(self._shown(found, zero), fresh)

    def _shown(self, found: list[tuple[int, int, int]], zero: list[Extent]) -> Iterator[Extent]:
        for offset, length, flags in found:
            extent = Extent(offset, length)
            if self.is_delta:
                # Dirty is 1; the depth of what was never written to any layer is 0.
                yield from (extent,) if flags else ()
            elif flags & _ABSENT and not flags & _ZERO:
                yield from subtract((extent,), intersect((extent,), zero))
            elif not flags & _ZERO:
                yield extent


class NbdSink:
    """An export, filled by several threads."""

    def __init__(self, connections: Connections, size: int) -> None:
        first = connections.first
        self._connections = connections
        self.size_bytes = size
        self._name = first.name
        self._unit = first.block_sizes.minimum
        self._edges = threading.Lock()
        try:
            if first.read_only:
                raise Refused(f"{self._name} is read-only", cure="serve it for writing")
            if first.size_bytes != size:
                raise Refused(
                    f"{self._name} has {first.size_bytes} bytes, the disk to write has {size}",
                    cure="choose a target of exactly the same size",
                )
            self.is_zeroed = _reads_as_zeroes(first)
        except BaseException:
            connections.close()
            raise

    @classmethod
    def connect(cls, address: Address, size: int, *, access: Access = PLAIN) -> NbdSink:
        """Open an export of exactly ``size`` bytes for writing."""

        def connect() -> Client:
            return Client.connect(address, contexts=(ALLOCATION,), access=access)

        return cls(Connections(connect(), connect), size)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data`` at ``offset``. Thread-safe for ranges that do not overlap."""
        if self._is_empty(offset, len(data)):
            return
        with self._connections.client() as client:
            if offset % self._unit == 0 and len(data) % self._unit == 0:
                client.write(offset, data)
                return
            # Whole units around the range are read and written back; who shares one of them waits here.
            with self._edges:
                whole, inside = _widened(client, self._unit, offset, len(data))
                inside[:] = data
                client.write(offset // self._unit * self._unit, whole)

    def zero(self, extent: Extent) -> None:
        """Have the server zero the range, as a hole where it can; write zeroes where it cannot."""
        if self._is_empty(extent.offset, extent.length):
            return
        unit = self._unit
        low, high = -(-extent.offset // unit) * unit, extent.end // unit * unit
        if low > high:
            self.write(extent.offset, _ZEROES[: extent.length])
            return
        if low < high:
            with self._connections.client() as client:
                _zero(client, low, high - low)
        self.write(extent.offset, _ZEROES[: low - extent.offset])
        self.write(high, _ZEROES[: extent.end - high])

    def flush(self) -> None:
        """Return when all that was written survives a power cut."""
        self._is_empty(0, 0)
        with self._connections.client() as client:
            client.flush()

    def close(self) -> None:
        """Close all connections without promising durability; safe to call twice."""
        self._connections.close()

    def _is_empty(self, offset: int, length: int) -> bool:
        check_range(self._name, self._connections.is_open, self.size_bytes, offset, length)
        return not length


def read_aligned(client: Client, unit: int, offset: int, buffer: memoryview) -> None:
    """Read any range from an export that only gives whole units."""
    if offset % unit == 0 and len(buffer) % unit == 0:
        client.read_into(offset, buffer)
        return
    _, inside = _widened(client, unit, offset, len(buffer))
    buffer[:] = inside


def _widened(client: Client, unit: int, offset: int, length: int) -> tuple[memoryview, memoryview]:
    """Read the whole units around a range; return all of it, and the range inside."""
    low = offset // unit * unit
    high = min(-(-(offset + length) // unit) * unit, client.size_bytes)
    whole = memoryview(bytearray(high - low))
    client.read_into(low, whole)
    return whole, whole[offset - low : offset - low + length]


def _zero(client: Client, offset: int, length: int) -> None:
    if client.flags & _CAN_ZERO:
        client.zero(offset, length)
        return
    size = len(_ZEROES)
    client.write_many(
        (at, _ZEROES[: min(size, offset + length - at)]) for at in range(offset, offset + length, size)
    )


def _reads_as_zeroes(client: Client) -> bool:
    """Tell whether the server knows that the whole disk is zero; it stops looking at the first data."""
    if ALLOCATION not in client.contexts:
        return False
    ends = (flags & _ZERO for _, _, flags in client.extents(ALLOCATION))
    return all(ends)


def _blocks(offset: int, buffer: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Cut a range into the blocks that a filter copies before they are overwritten."""
    for extent in split((Extent(offset, len(buffer)),), BLOCK):
        at = extent.offset - offset
        yield extent.offset, buffer[at : at + extent.length]


def _marks(client: Client, context: str, start: int, length: int) -> list[Extent]:
    """Return what a bitmap marks of a range; nothing without one."""
    found = client.extents(context, start, length) if context else ()
    return [Extent(offset, size) for offset, size, flags in found if flags]


@contextmanager
def _closing_on_failure(client: Client) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.close()
        raise


def _no_bitmap(bitmap: str, name: str, offered: list[str]) -> Missing:
    known = ", ".join(context.removeprefix(BITMAPS) for context in offered)
    return Missing(
        f"{name} has no dirty bitmap {bitmap!r}",
        cure=f"choose one of: {known}" if known else "export it with a bitmap, or copy the whole disk",
    )
