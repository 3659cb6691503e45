"""Read and write an NBD export.

One connection is one thread's: nothing here may be called from two threads at
once. Several connections to one export are fine when it says ``multi_conn``.

Errors: Unavailable when the peer goes away, is silent for too long or cannot do
it now; Refused when it never will; Damaged when it breaks the protocol. After
Damaged, or when the peer went away, the connection is closed for good; after any
other error it goes on.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from bascule.model.errors import Damaged, Missing, Refused

from .address import Address
from .connecting import BY_DEFAULT, Access, locate, negotiate, open_socket
from .exchange import Exchange
from .protocol import constants as nbd
from .protocol.answers import Pending
from .protocol.client_handshake import Agreement, Wish, choose_export
from .protocol.options import BlockSizes
from .streams.plain import Stream

DEPTH = 8
# Eight of these in flight went fastest. With 1 MiB qemu-nbd spends twice the processor time,
# because it takes the memory of every request fresh from the kernel.
PIECE = 512 * 1024
_STATUS_STEP = (1 << 32) - 65536  # the most a 32-bit length can ask for without cutting a 64 KiB block
_RANGE_STEP = 1 << 30


class Filled(NamedTuple):
    """A finished read; ``zero`` when the peer said so of all of it."""

    offset: int
    buffer: memoryview
    zero: bool


class Client:
    """A connection to one export. ``connect`` or ``over`` makes it, ``close`` ends it."""

    def __init__(
        self, stream: Stream, agreement: Agreement, name: str, timeout: float, *, is_lent: bool = False
    ) -> None:
        self.name = name
        self.size_bytes = agreement.size_bytes
        self.flags = agreement.flags
        self.block_sizes: BlockSizes = agreement.sizes
        self.contexts: tuple[str, ...] = tuple(agreement.contexts.values())
        self._numbers = {context: number for number, context in agreement.contexts.items()}
        self._exchange = Exchange(
            stream, name, structured=agreement.structured, timeout=timeout, is_lent=is_lent
        )

    @classmethod
    def connect(
        cls,
        address: Address | str,
        *,
        export: str | None = None,
        contexts: Sequence[str] = (),
        access: Access = BY_DEFAULT,
    ) -> Self:
        """Connect to an export; one named here goes before the address's.

        A context that ends with a colon, such as ``qemu:dirty-bitmap:``, selects all
        of that kind; those the export does not have are left out of ``contexts``.
        """
        where, access = locate(address, access)
        name = where.export if export is None else export
        wish = Wish(name, tuple(contexts), access.tls is not None, str(where))
        return cls._open(open_socket(where, access.timeout), wish, access)

    @classmethod
    def over(
        cls,
        connected: socket.socket,
        *,
        export: str = "",
        contexts: Sequence[str] = (),
        access: Access = BY_DEFAULT,
        is_lent: bool = False,
    ) -> Self:
        """Use a socket that is connected already. It belongs to the client from now on.

        The connection of one that ``is_lent`` is somebody else's to end: the client says no goodbye
        and shuts nothing down, whatever happens, but closes this descriptor of it.
        """
        name = f"the NBD server behind descriptor {connected.fileno()}"
        wish = Wish(export, tuple(contexts), access.tls is not None, name)
        return cls._open(connected, wish, access, is_lent=is_lent)

    @classmethod
    def _open(cls, connected: socket.socket, wish: Wish, access: Access, *, is_lent: bool = False) -> Self:
        agreement, stream = negotiate(connected, wish, access, choose_export)
        return cls(stream, agreement, wish.peer, access.timeout, is_lent=is_lent)

    @property
    def read_only(self) -> bool:
        """True when the export takes no writes."""
        return bool(self.flags & nbd.READ_ONLY)

    @property
    def multi_conn(self) -> bool:
        """True when a flush on one connection covers what others wrote."""
        return bool(self.flags & nbd.CAN_MULTI_CONN)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        for _ in self.read_many(self.pieces(offset, buffer)):
            pass

    def pieces(self, offset: int, buffer: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Cut a range into requests of the size that goes fastest."""
        piece = self._piece()
        return ((offset + at, buffer[at : at + piece]) for at in range(0, len(buffer), piece))

    def read_many(self, requests: Iterable[tuple[int, memoryview]], depth: int = DEPTH) -> Iterator[Filled]:
        """Fill many buffers, ``depth`` at a time, and yield each when it is full, in any order.

        The next request is taken when the caller is done with what was yielded, so
        ``depth`` buffers are enough for any number of requests. Whoever stops early
        waits for the replies that are under way.
        """
        wanted = (
            self._checked(Pending(nbd.READ, offset, len(buffer), buffer)) for offset, buffer in requests
        )
        for done in self._exchange.run(wanted, depth):
            yield Filled(done.offset, done.buffer, done.hole)

    def write(self, offset: int, data: memoryview, *, fua: bool = False) -> None:
        """Write all of ``data``; with ``fua`` it survives a power cut."""
        self.write_many(self.pieces(offset, data), fua=fua)

    def write_many(
        self, requests: Iterable[tuple[int, memoryview]], depth: int = DEPTH, *, fua: bool = False
    ) -> None:
        """Write many ranges, ``depth`` at a time. A buffer is free again when the next is taken."""
        flags = self._fua(fua)
        wanted = (
            self._checked(Pending(nbd.WRITE, offset, len(data), data, flags)) for offset, data in requests
        )
        for _ in self._exchange.run(wanted, depth):
            pass

    def zero(
        self, offset: int, length: int, *, no_hole: bool = False, fast: bool = False, fua: bool = False
    ) -> None:
        """Make a range read as zeroes; ``fast`` raises Refused where that is no faster than writing them."""
        self._need(nbd.SEND_WRITE_ZEROES, "zero ranges")
        if fast:
            self._need(nbd.SEND_FAST_ZERO, "tell whether zeroing is fast")
        flags = self._fua(fua) | (nbd.NO_HOLE if no_hole else 0) | (nbd.FAST_ZERO if fast else 0)
        self._range(nbd.WRITE_ZEROES, flags, offset, length)

    def trim(self, offset: int, length: int, *, fua: bool = False) -> None:
        """Say that a range's content is no longer needed."""
        self._need(nbd.SEND_TRIM, "trim")
        self._range(nbd.TRIM, self._fua(fua), offset, length)

    def cache(self, offset: int, length: int) -> None:
        """Ask the server to have a range ready soon."""
        self._need(nbd.SEND_CACHE, "cache")
        self._range(nbd.CACHE, 0, offset, length)

    def flush(self) -> None:
        """Return when all that was written survives a power cut; nothing to do where writes are that safe."""
        if self.flags & nbd.SEND_FLUSH:
            self._exchange.one(Pending(nbd.FLUSH))

    def extents(
        self, context: str, offset: int = 0, length: int | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """Yield (offset, length, flags) in order, without a gap, neighbours with equal flags joined."""
        end = self.size_bytes if length is None else offset + length
        number = self._numbers.get(context)
        if number is None:
            offered = ", ".join(self.contexts) or "none"
            raise Missing(f"{self.name} has no meta context {context!r}", cure=f"connected with: {offered}")
        start = at = offset
        state = -1
        for size, flags in self._statuses(number, offset, end):
            if flags != state and at > start:
                yield start, at - start, state
                start = at
            state = flags
            at = min(at + size, end)
        if at > start:
            yield start, at - start, state

    def close(self) -> None:
        """Say goodbye and close; safe to call twice."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _piece(self) -> int:
        return max(min(PIECE, self.block_sizes.maximum), self.block_sizes.minimum)

    def _need(self, flag: int, what: str) -> None:
        if not self.flags & flag:
            raise Refused(f"{self.name} cannot {what}")

    def _fua(self, wanted: bool) -> int:
        if wanted:
            self._need(nbd.SEND_FUA, "write through its cache")
        return nbd.FUA if wanted else 0

    def _checked(self, pending: Pending) -> Pending:
        """Return a request that may be sent, or raise Refused."""
        offset, length = pending.offset, pending.length
        if offset < 0 or length <= 0 or offset + length > self.size_bytes:
            raise Refused(f"{length} bytes at {offset} are not inside {self.name} of {self.size_bytes} bytes")
        if self.read_only and pending.command in (nbd.WRITE, nbd.TRIM, nbd.WRITE_ZEROES):
            raise Refused(f"{self.name} is read-only", code="read-only")
        return pending

    def _range(self, command: int, flags: int, offset: int, length: int) -> None:
        steps = ((offset + at, min(_RANGE_STEP, length - at)) for at in range(0, length, _RANGE_STEP))
        wanted = (self._checked(Pending(command, at, size, flags=flags)) for at, size in steps)
        for _ in self._exchange.run(wanted, DEPTH):
            pass

    def _statuses(self, number: int, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (length, flags) from ``offset`` on, without a gap; the last may reach beyond ``end``.

        More and more questions are under way at a time, for of an empty terabyte there are 256 to be
        asked; but only as long as each is answered in full, for behind a short answer all is asked again.
        """
        at, depth = offset, 1
        while at < end:
            steps = range(at, min(at + depth * _STATUS_STEP, end), _STATUS_STEP)
            wanted = [Pending(nbd.BLOCK_STATUS, step, min(_STATUS_STEP, end - step)) for step in steps]
            for _ in self._exchange.run(map(self._checked, wanted), depth):
                pass
            depth = min(2 * depth, DEPTH)
            for done in wanted:
                for size, flags in self._described(done, number):
                    yield size, flags
                    at += size
                if at != done.offset + done.length:
                    depth = 1
                    break

    def _described(self, done: Pending, number: int) -> Iterator[tuple[int, int]]:
        """Yield what one reply says: (length, flags), which may be less or more than was asked for."""
        payload = done.status.get(number)
        if payload is None:
            raise self._exchange.fail(Damaged(f"{self.name} is silent about a meta context it had agreed to"))
        for size, flags in nbd.DESCRIPTOR.iter_unpack(payload):
            if not size:
                raise self._exchange.fail(Damaged(f"{self.name} describes a range without length"))
            yield size, flags
