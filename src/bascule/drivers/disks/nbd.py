"""Disks behind an NBD server: any export as a source, whole or by a dirty bitmap, and as a sink.

Each thread that reads or writes has a connection of its own, and large buffers
travel as requests of 512 KiB, eight at a time. An export must stand still while it
is read: a server that comes back with another disk of the same name is noticed
only if size or contexts differ.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final

from bascule.blocks.extents import Extent, merge
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
_CAN_ZERO: Final = 1 << 6  # NBD_FLAG_SEND_WRITE_ZEROES
# So much of a disk is asked about before a connection is given back.
_STEP: Final = 64 << 30
_SHORT_DEPTH: Final = 16
"""Requests under way where they are short, as those of a delta are. None of them may forbid the server to
look for zeroes first (DF): QEMU 7.2 then shows writes of after the instant.
"""
_LISTED: Final = 1 << 16
"""So many extents are kept, which are asked for more than once: a few MiB."""
_ZEROES: Final = memoryview(bytes(1 << 20))


class NbdSource:
    """An export, read whole or as far as a dirty bitmap says."""

    is_near = False

    def __init__(self, connections: Connections, context: str = ALLOCATION) -> None:
        self._connections = connections
        self._context = context
        self.is_delta = context != ALLOCATION
        self.size_bytes = connections.first.size_bytes
        self._name = connections.first.name
        self._unit = connections.first.block_sizes.minimum
        self._listed: list[Extent] | None = None

    @classmethod
    def connect(cls, address: Address, *, bitmap: str = "", access: Access = PLAIN) -> NbdSource:
        """Open an export; with ``bitmap`` only what that dirty bitmap marks is read, or Missing is raised."""
        context = BITMAPS + bitmap if bitmap else ALLOCATION

        def connect() -> Client:
            return Client.connect(address, contexts=(context,), access=access)

        first = connect()
        if bitmap and context not in first.contexts:
            first.close()
            raise _no_bitmap(bitmap, str(address), contexts_of(address, queries=(BITMAPS,), access=access))
        return cls(Connections(first, connect), context)

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
        check_range(self._name, self._connections.is_open, self.size_bytes, offset, len(buffer))
        if not len(buffer):
            return
        with self._connections.client() as client:
            read_aligned(client, self._unit, offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset, several requests at a time."""
        for offset, buffer in pieces:
            check_range(self._name, self._connections.is_open, self.size_bytes, offset, len(buffer))
        with self._connections.client() as client:
            odd = [piece for piece in pieces if (piece[0] | len(piece[1])) % self._unit]
            even = (
                piece for piece in pieces if len(piece[1]) and not (piece[0] | len(piece[1])) % self._unit
            )
            cuts = (cut for piece in even for cut in client.pieces(*piece))
            for _ in client.read_many(cuts, _SHORT_DEPTH if self.is_delta else DEPTH):
                pass
            for offset, buffer in odd:
                read_aligned(client, self._unit, offset, buffer)

    def close(self) -> None:
        """Close all connections; safe to call twice."""
        self._connections.close()

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
            with self._connections.client() as client:
                found = list(client.extents(self._context, start, min(_STEP, self.size_bytes - start)))
            for offset, length, flags in found:
                # Dirty is 1; the depth of what was never written to any layer is 0.
                if flags if self.is_delta else not flags & _ZERO:
                    yield Extent(offset, length)


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


def _no_bitmap(bitmap: str, name: str, offered: list[str]) -> Missing:
    known = ", ".join(context.removeprefix(BITMAPS) for context in offered)
    return Missing(
        f"{name} has no dirty bitmap {bitmap!r}",
        cure=f"choose one of: {known}" if known else "export it with a bitmap, or copy the whole disk",
    )
