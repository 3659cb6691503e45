"""Replies as a client reads them: straight into the buffers that were asked for.

Every byte of a read must come exactly once: pieces that overlap, leave a gap or
lie outside the request are Damaged, for the caller would take old bytes of its
buffer for the disk's.
"""

from __future__ import annotations

from bascule.model.errors import Damaged

from .constants import (
    BLOCK_STATUS,
    CHUNK,
    CHUNK_DATA,
    CHUNK_ERROR,
    CHUNK_ERROR_BIT,
    CHUNK_ERROR_OFFSET,
    CHUNK_HOLE,
    CHUNK_MAGIC,
    CHUNK_NONE,
    CHUNK_STATUS,
    COMMAND_NAMES,
    DATA_CHUNK,
    DONE,
    ERROR,
    HOLE,
    READ,
    SIMPLE,
    SIMPLE_MAGIC,
)

_SCRATCH = 16 * 1024  # Small replies come many to a receive; of large ones this much is copied.
_STATUS_MAX = 16 * 1024 * 1024  # Servers send up to 8 MiB, a million extents.
_ERROR_MAX = 16 * 1024
_PIECES_MAX = 4096
_ZEROES = memoryview(bytes(64 * 1024))
_NOTHING = memoryview(b"")


class Pending:
    """A request on its way, and what has come of its reply."""

    __slots__ = (
        "buffer", "command", "error", "flags", "hole", "length",
        "message", "next", "offset", "pieces", "status",
    )  # fmt: skip

    def __init__(
        self, command: int, offset: int = 0, length: int = 0, buffer: memoryview = _NOTHING, flags: int = 0
    ) -> None:
        self.command = command
        self.flags = flags
        self.offset = offset
        self.length = length
        self.buffer = buffer  # to be filled by a read, to be sent by a write
        self.error = 0
        self.message = ""
        self.next = 0  # so many bytes have come in order
        self.pieces: list[tuple[int, int]] = []  # those that came out of order
        self.hole = True  # nothing but zeroes so far
        self.status: dict[int, memoryview] = {}

    def claim(self, offset: int, length: int) -> int:
        """Note that a piece comes, and return where it goes in the buffer."""
        at = offset - self.offset
        if self.command != READ or length <= 0 or at < 0 or at + length > self.length:
            raise Damaged(f"An NBD reply brings {length} bytes at {offset}, which were not asked for")
        if at == self.next:
            self.next += length
        elif len(self.pieces) == _PIECES_MAX:
            raise Damaged(f"An NBD reply comes in more than {_PIECES_MAX} pieces out of order")
        else:
            self.pieces.append((at, length))
        return at

    def finish(self) -> None:
        """Raise unless a read's pieces are the whole read, each byte once."""
        if self.command != READ or self.error:
            return
        at = self.next
        for start, length in sorted(self.pieces):
            if start != at:
                raise Damaged(f"An NBD reply has a gap or an overlap at {self.offset + start}")
            at += length
        if at != self.length:
            raise Damaged(f"An NBD reply brings {at} of {self.length} bytes at {self.offset}")


class AnswerReader:
    """Turns received bytes into finished requests. Not thread-safe."""

    def __init__(self, *, structured: bool) -> None:
        self._structured = structured
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._low = self._high = 0
        self._rest = _NOTHING  # of the payload under way
        self._payload = _NOTHING
        self._chunk: tuple[int, int, int] = (0, 0, 0)  # flags, type, cookie
        self._pending: dict[int, Pending] = {}

    def expect(self, cookie: int, pending: Pending) -> None:
        """Wait for the reply to a request."""
        self._pending[cookie] = pending

    @property
    def waiting(self) -> int:
        """How many requests have no complete reply yet."""
        return len(self._pending)

    @property
    def exact(self) -> bool:
        """True when all of ``buffer`` will come, so that a receive may wait for all of it."""
        return len(self._rest) > 0

    def buffer(self) -> memoryview:
        """Return where the next received bytes go; never empty."""
        return self._rest if self._rest else self._view[self._high :]

    def ahead(self) -> memoryview:
        """Return where to receive what surely comes behind ``buffer``, empty if that is not sure.

        It is the next reply's head. A receive for each head beside one for each payload costs a
        reader of small blocks a third of its time.
        """
        more = len(self._pending) - (self._chunk[0] & DONE)
        if not self._rest or not self._structured or more * CHUNK.size < DATA_CHUNK.size:
            return _NOTHING
        return self._view[self._high : self._high + DATA_CHUNK.size]

    def received(self, count: int) -> list[Pending]:
        """Return the requests that ``count`` more bytes complete."""
        finished: list[Pending] = []
        if self._rest:
            here = min(count, len(self._rest))
            self._rest = self._rest[here:]
            if self._rest:
                return finished
            self._end_chunk(finished)
            count -= here
        self._high += count
        while not self._rest and self._step(finished):
            pass
        left = self._high - self._low
        if self._low:
            self._view[:left] = self._scratch[self._low : self._high]
            self._low, self._high = 0, left
        return finished

    def _step(self, finished: list[Pending]) -> bool:
        """Parse one message as far as it is there; False when more bytes are needed first."""
        have = self._high - self._low
        if have < SIMPLE.size:
            return False
        magic = int.from_bytes(self._scratch[self._low : self._low + 4], "big")
        if magic == SIMPLE_MAGIC:
            return self._simple(finished)
        if magic != CHUNK_MAGIC or not self._structured:
            raise Damaged(f"An NBD reply begins with {magic:#x}")
        if have < CHUNK.size:
            return False
        _, flags, kind, cookie, length = CHUNK.unpack_from(self._scratch, self._low)
        pending = self._known(cookie)
        self._chunk = (flags, kind, cookie)
        if kind == CHUNK_DATA:
            return self._begin_data(pending, length, finished)
        self._low += CHUNK.size
        self._begin(memoryview(bytearray(_checked(kind, length))), finished)
        return True

    def _known(self, cookie: int) -> Pending:
        pending = self._pending.get(cookie)
        if pending is None:
            raise Damaged(f"An NBD reply answers request {cookie}, which was not made")
        return pending

    def _simple(self, finished: list[Pending]) -> bool:
        _, error, cookie = SIMPLE.unpack_from(self._scratch, self._low)
        pending = self._known(cookie)
        self._low += SIMPLE.size
        self._chunk = (DONE, CHUNK_NONE, cookie)
        pending.error = pending.error or error
        if pending.command == READ and not error:
            if self._structured:
                raise Damaged("An NBD server answers a read without structure although it agreed to it")
            self._chunk = (DONE, CHUNK_DATA, cookie)
            at = pending.claim(pending.offset, pending.length)
            pending.hole = False
            self._begin(pending.buffer[at:], finished)
            return True
        if pending.command == BLOCK_STATUS and not error:
            raise Damaged("An NBD server answers a block status request without any status")
        self._finish(cookie, finished)
        return True

    def _begin_data(self, pending: Pending, length: int, finished: list[Pending]) -> bool:
        if self._high - self._low < DATA_CHUNK.size:
            return False
        offset = int.from_bytes(self._scratch[self._low + CHUNK.size : self._low + DATA_CHUNK.size], "big")
        at = pending.claim(offset, length - 8)
        pending.hole = False
        self._low += DATA_CHUNK.size
        self._begin(pending.buffer[at : at + length - 8], finished)
        return True

    def _begin(self, payload: memoryview, finished: list[Pending]) -> None:
        """Take what is there of a payload, and wait for the rest."""
        here = min(self._high - self._low, len(payload))
        payload[:here] = self._view[self._low : self._low + here]
        self._low += here
        self._payload, self._rest = payload, payload[here:]
        if not self._rest:
            self._end_chunk(finished)

    def _end_chunk(self, finished: list[Pending]) -> None:
        flags, kind, cookie = self._chunk
        if kind != CHUNK_DATA:
            self._understand(self._pending[cookie], kind, self._payload)
        self._payload = _NOTHING
        if flags & DONE:
            self._finish(cookie, finished)
        elif kind == CHUNK_NONE:
            raise Damaged("An NBD reply has an empty chunk that is not its last")

    def _finish(self, cookie: int, finished: list[Pending]) -> None:
        pending = self._pending.pop(cookie)
        pending.finish()
        finished.append(pending)

    def _understand(self, pending: Pending, kind: int, payload: memoryview) -> None:
        if kind == CHUNK_HOLE:
            offset, length = HOLE.unpack(payload)
            _fill_zero(pending.buffer, pending.claim(offset, length), length)
        elif kind == CHUNK_STATUS:
            context = int.from_bytes(payload[:4], "big")
            if pending.command != BLOCK_STATUS or context in pending.status:
                raise Damaged(f"An NBD reply brings an unwanted block status of context {context}")
            pending.status[context] = payload[4:]
        elif kind & CHUNK_ERROR_BIT:
            error, length = ERROR.unpack(payload[: ERROR.size])
            if not error or ERROR.size + length > len(payload):
                raise Damaged("An NBD error chunk holds no error, or a message longer than itself")
            pending.error = pending.error or error
            words = bytes(payload[ERROR.size : ERROR.size + min(length, 500)]).decode(errors="replace")
            pending.message = "".join(c for c in words if c.isprintable())


def _checked(kind: int, length: int) -> int:
    """Return the length of a chunk's payload if its type may have it."""
    if kind == CHUNK_NONE:
        fits = length == 0
    elif kind == CHUNK_HOLE:
        fits = length == HOLE.size
    elif kind == CHUNK_STATUS:
        fits = 12 <= length <= _STATUS_MAX and length % 8 == 4
    elif kind in (CHUNK_ERROR, CHUNK_ERROR_OFFSET) or kind & CHUNK_ERROR_BIT:
        fits = ERROR.size <= length <= _ERROR_MAX
    else:
        raise Damaged(f"An NBD reply has a chunk of unknown type {kind}")
    if not fits:
        raise Damaged(f"An NBD reply has a chunk of type {kind} with {length} bytes")
    return length


def _fill_zero(buffer: memoryview, at: int, length: int) -> None:
    end = at + length
    while at < end:
        piece = min(end - at, len(_ZEROES))
        buffer[at : at + piece] = _ZEROES[:piece]
        at += piece


def command_name(command: int) -> str:
    """Return a command's name for a message."""
    return COMMAND_NAMES[command] if command < len(COMMAND_NAMES) else f"command {command}"
