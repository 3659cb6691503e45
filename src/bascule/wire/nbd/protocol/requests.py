"""Requests as a server reads them.

The reader tells the shell where to put the next bytes, so that what a client
writes lands in its own buffer without another copy, and hands over all requests
that one receive brought. A long write comes in pieces, so that no client makes
the server hold more than one piece of it.
"""

from __future__ import annotations

from typing import NamedTuple

from bascule.model.errors import Damaged

from .constants import PAYLOAD_MAX, REQUEST, REQUEST_MAGIC, WRITE

_NOTHING = memoryview(b"")
_SCRATCH = 64 * 1024
WRITE_PIECE = 1024 * 1024


class Request(NamedTuple):
    """One request, or a piece of a long write; ``payload`` belongs to whoever holds it."""

    flags: int
    command: int
    cookie: int
    offset: int
    length: int
    payload: memoryview = _NOTHING
    left: int = 0  # bytes of the same write that come in the next pieces


class RequestReader:
    """Turns received bytes into requests. Not thread-safe."""

    def __init__(self) -> None:
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._low = self._high = 0
        self._rest = _NOTHING  # of the payload under way
        self._writing: Request | None = None

    @property
    def idle(self) -> bool:
        """True between two requests."""
        return self._writing is None and self._low == self._high

    @property
    def exact(self) -> bool:
        """True when all of ``buffer`` will come, so that a receive may wait for all of it."""
        return self._writing is not None

    def buffer(self) -> memoryview:
        """Return where the next received bytes go; never empty."""
        return self._rest if self._writing is not None else self._view[self._high :]

    def received(self, count: int) -> list[Request]:
        """Return the requests that ``count`` more bytes complete."""
        found: list[Request] = []
        if self._writing is not None:
            self._rest = self._rest[count:]
            if not self._rest:
                found.append(self._writing)
                self._begin_next_piece(self._writing)
            return found
        self._high += count
        self._parse(found)
        left = self._high - self._low
        if self._low:
            # Less than a header is left: a write's payload was moved out.
            self._view[:left] = self._scratch[self._low : self._high]
            self._low, self._high = 0, left
        return found

    def _parse(self, found: list[Request]) -> None:
        low, high, scratch, size = self._low, self._high, self._scratch, REQUEST.size
        unpack, make = REQUEST.unpack_from, Request
        while high - low >= size:
            magic, flags, command, cookie, offset, length = unpack(scratch, low)
            if magic != REQUEST_MAGIC:
                raise Damaged(f"An NBD request begins with {magic:#x}")
            low += size
            if command != WRITE:
                found.append(make(flags, command, cookie, offset, length))
                continue
            if length > PAYLOAD_MAX:
                raise Damaged(f"An NBD write announces {length} bytes; at most {PAYLOAD_MAX} are read")
            low = self._begin_write(make(flags, command, cookie, offset, length), low, found)
        self._low = low

    def _begin_write(self, request: Request, low: int, found: list[Request]) -> int:
        """Take what has come of a write's payload; return where that ends."""
        length = min(request.length, WRITE_PIECE)
        payload = memoryview(bytearray(length))
        here = min(self._high - low, length)
        payload[:here] = self._view[low : low + here]
        piece = request._replace(length=length, payload=payload, left=request.length - length)
        if here == length:
            found.append(piece)  # Pieces are longer than the scratch: this one is the whole write.
        else:
            self._writing, self._rest = piece, payload[here:]
        return low + here

    def _begin_next_piece(self, last: Request) -> None:
        self._writing = None
        if last.left:
            length = min(last.left, WRITE_PIECE)
            self._rest = memoryview(bytearray(length))
            self._writing = last._replace(
                offset=last.offset + last.length, length=length, payload=self._rest, left=last.left - length
            )
