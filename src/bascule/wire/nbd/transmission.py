"""Serve one client after its handshake.

One thread receives. What the export has at hand it answers itself, all requests
of one receive with one send. Then it reads what the export can have soon; if more than
one such read waits, and a core is free, a second thread takes its share of them: waking it
costs as much as many a read, so it is woken for many. Everything else goes to a crew
of a few threads. A read of many megabytes leaves in pieces of one, so no reply
holds more memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from bascule.model.errors import BasculeError

from .crew import Bounds, Crew, Hands
from .export import Content, Export
from .protocol import constants as nbd
from .protocol.errors import number_of
from .protocol.replies import (
    Buffer,
    chunks,
    descriptors,
    error_chunk,
    one_chunk,
    simple_read,
    simple_reply,
    status_chunk,
)
from .protocol.requests import Request, RequestReader
from .protocol.server_handshake import Entry
from .streams.plain import Stream

PIECE = 1024 * 1024
_BATCH_BYTES = 256 * 1024
_BATCH_BUFFERS = 512
_DESCRIPTORS = 8192
_SLOWEST = 64 * 1024  # bytes a second below which a client's write counts as stalled

_FLAGS: Mapping[int, int] = {
    nbd.READ: nbd.DF | nbd.FUA,
    nbd.WRITE: nbd.FUA,
    nbd.FLUSH: nbd.FUA,
    nbd.TRIM: nbd.FUA,
    nbd.CACHE: nbd.FUA,
    nbd.WRITE_ZEROES: nbd.FUA | nbd.NO_HOLE,
    nbd.BLOCK_STATUS: nbd.FUA | nbd.REQ_ONE,
}
_CHANGES = (nbd.WRITE, nbd.TRIM, nbd.WRITE_ZEROES)


class Transmission:
    """One client's requests, from the first to the last reply."""

    def __init__(
        self, stream: Stream, export: Export, entry: Entry, bounds: Bounds, stall: float, hands: Hands
    ) -> None:
        self._stream = stream
        self._export = export
        self._size = entry.offer.size_bytes
        self._mask = entry.offer.sizes.minimum - 1
        self._structured = entry.structured
        self._contexts = entry.contexts
        self._stall = stall
        self._crew = Crew(stream.abort, bounds)
        self._hands = hands
        self._near: deque[Request] = deque()  # reads that are not at hand, but may be had soon
        self._is_helped = False
        self._out: list[Buffer] = []
        self._out_bytes = 0
        self._long_write: bytes | None = None  # the error reply of the one under way, if there is one
        self._leaving = False
        self._lost = False
        self._slow: Mapping[int, Callable[[Request], None]] = {
            nbd.READ: self._read,
            nbd.WRITE: self._write,
            nbd.FLUSH: self._flush,
            nbd.TRIM: self._trim,
            nbd.CACHE: self._cache,
            nbd.WRITE_ZEROES: self._zero,
        }

    def stop(self) -> None:
        """Take no more requests; what was asked before is still answered. Any thread may call it."""
        self._leaving = True
        self._stream.stop_receiving()

    def run(self) -> None:
        """Answer until the client leaves; what it asked before is done when this returns."""
        parted = False
        try:
            self._listen(RequestReader())
            parted = True
        finally:
            self._leaving = True
            if not parted:
                self._lose()
            self._crew.finish(self._stall)

    def _listen(self, reader: RequestReader) -> None:
        while not self._leaving and (count := self._receive(reader)):
            for request in reader.received(count):
                if request.command == nbd.DISCONNECT:
                    self._go_through()
                    return
                self._take(request)
            self._go_through()
        if not reader.idle and not self._leaving:
            raise ConnectionResetError("the client closed the connection in the middle of a request")

    def _lose(self) -> None:
        """Nobody is there to read replies any more: end what only makes some."""
        self._lost = True
        self._stream.abort()

    def _receive(self, reader: RequestReader) -> int:
        """Wait for bytes: without end between requests, but not in the middle of one."""
        deadline = 0.0
        while True:
            buffer, exact = reader.buffer(), reader.exact
            try:
                count = self._stream.receive_into(buffer, exact)
            except TimeoutError:
                if reader.idle:
                    continue
                raise
            if not exact or not count or count == len(buffer):
                return count
            # A write comes in drips: it may be slow, but not for ever.
            now = time.monotonic()
            deadline = deadline or now + self._stall + len(buffer) / _SLOWEST
            if now > deadline:
                raise TimeoutError("the client writes too slowly")
            reader.received(count)

    def _take(self, request: Request) -> None:
        """Answer what is at hand, put by what may be had soon, and leave the rest to the crew."""
        flags, command, _, offset, length, _, _ = request
        if (
            command == nbd.READ
            and not flags
            and 0 < length <= PIECE
            and offset + length <= self._size
            and not (offset | length) & self._mask
        ):
            try:
                if not self._export.is_ready(offset, length):
                    self._near.append(request)
                    return
                self._queue(self._content(request, self._export.read(offset, length)), length)
            except (BasculeError, OSError) as failure:
                self._queue([self._failure(request, failure)], 0)
        elif not self._answer(request):
            self._send_out()  # The crew may be busy: do not keep the client waiting for what is ready.
            self._submit(request)

    def _content(self, request: Request, parts: Content) -> list[Buffer]:
        _, _, cookie, offset, length, _, _ = request
        return (chunks if self._structured else simple_read)(cookie, offset, length, parts)

    def _submit(self, request: Request) -> None:
        self._crew.submit(partial(self._work, request), len(request.payload))

    def _go_through(self) -> None:
        """Send what is ready, so that the client can work on it, and read what was put by meanwhile."""
        self._send_out()
        if self._near:
            with self._hands:
                if len(self._near) > 1 and not self._is_helped and self._hands.are_wanted:
                    self._is_helped = True
                    self._crew.submit(self._help)
                self._work_off(self._submit)

    def _help(self) -> None:
        """Take a share of the reads that were put by, in a thread of the crew."""
        try:
            with self._hands:
                self._work_off(self._work)
        finally:
            self._is_helped = False

    def _work_off(self, otherwise: Callable[[Request], None]) -> None:
        """Do the reads that were put by; ``otherwise`` does what cannot be had soon after all."""
        while self._near and not self._lost:
            try:
                request = self._near.popleft()
            except IndexError:
                return  # the other thread was faster
            try:
                parts = self._export.read_soon(request.offset, request.length)
                if parts is not None:
                    self._reply(self._content(request, parts))
                    continue
            except (BasculeError, OSError) as failure:
                self._reply([self._failure(request, failure)])
                continue
            otherwise(request)

    def _answer(self, request: Request) -> bool:
        """Answer a request that is wrong, asks for block status, or is a piece of a long write."""
        if request.left or self._long_write is not None:
            self._write_piece(request)
        elif error := self._fault(request):
            self._queue([self._error(request, error, "")], 0)
        elif request.command == nbd.BLOCK_STATUS:
            try:
                self._queue(self._status(request), 0)
            except (BasculeError, OSError) as failure:
                self._queue([self._failure(request, failure)], 0)
        else:
            return False
        return True

    def _write_piece(self, request: Request) -> None:
        """Write a piece of a long write, in this thread so that no more than a piece is held."""
        error = self._long_write or b""
        try:
            if not error and (number := self._fault(request)):
                error = self._error(request, number, "")
            if not error:
                self._export.write(request.offset, request.payload)
                if not request.left:
                    self._through(request)
        except (BasculeError, OSError) as failure:
            error = self._failure(request, failure)
        self._long_write = error
        if not request.left:
            self._long_write = None
            self._queue([error or simple_reply(request.cookie)], 0)

    def _queue(self, buffers: list[Buffer], size: int) -> None:
        self._out += buffers
        self._out_bytes += size
        if self._out_bytes >= _BATCH_BYTES or len(self._out) >= _BATCH_BUFFERS:
            self._send_out()

    def _send_out(self) -> None:
        if self._out:
            self._stream.send(self._out)
            self._out = []
            self._out_bytes = 0

    def _fault(self, request: Request) -> int:
        """Return why a request is wrong, or 0."""
        flags, command, _, offset, length, _, left = request
        if command not in _FLAGS or flags & ~_FLAGS[command]:
            return nbd.EINVAL
        if command == nbd.FLUSH:
            return 0
        changes = command in _CHANGES
        if changes and self._export.read_only:
            return nbd.EPERM
        if not length or (offset | length) & self._mask:
            return nbd.EINVAL
        if offset + length + left > self._size:
            return nbd.ENOSPC if changes else nbd.EINVAL
        if command == nbd.READ and length > nbd.PAYLOAD_MAX:
            return nbd.EINVAL
        return nbd.EINVAL if command == nbd.BLOCK_STATUS and not self._contexts else 0

    def _error(self, request: Request, error: int, message: str) -> bytes:
        if self._structured:
            return error_chunk(request.cookie, error, message)
        return simple_reply(request.cookie, error)

    def _failure(self, request: Request, failure: BasculeError | OSError) -> bytes:
        return self._error(request, number_of(failure), str(failure))

    def _work(self, request: Request) -> None:
        """Do one request in a thread of the crew, and reply."""
        try:
            self._slow[request.command](request)
        except (BasculeError, OSError) as failure:
            self._reply([self._failure(request, failure)])
            return
        if request.command != nbd.READ:
            self._reply([simple_reply(request.cookie)])

    def _reply(self, buffers: list[Buffer]) -> None:
        try:
            self._stream.send(buffers)
        except OSError:
            self._lose()  # The receiving thread notices, and ends the connection.

    def _read(self, request: Request) -> None:
        flags, _, cookie, offset, length, _, _ = request
        if flags & nbd.DF or not self._structured:
            parts = [
                part for at, size in self._pieces(offset, length) for part in self._export.read(at, size)
            ]
            if self._structured:
                self._reply(one_chunk(cookie, offset, length, parts))
            else:
                self._reply(simple_read(cookie, offset, length, parts))
            return
        for at, size in self._pieces(offset, length):
            done = nbd.DONE if at + size == offset + length else 0
            self._reply(chunks(cookie, at, size, self._export.read(at, size), done))

    def _write(self, request: Request) -> None:
        self._export.write(request.offset, request.payload)
        self._through(request)

    def _flush(self, _: Request) -> None:
        self._export.flush()

    def _trim(self, request: Request) -> None:
        self._export.trim(request.offset, request.length)
        self._through(request)

    def _cache(self, request: Request) -> None:
        for at, size in self._pieces(request.offset, request.length):
            if self._leaving:
                break  # It was a favour for later, and there is no later.
            self._export.read(at, size)

    def _zero(self, request: Request) -> None:
        self._export.zero(request.offset, request.length, not request.flags & nbd.NO_HOLE)
        self._through(request)

    def _through(self, request: Request) -> None:
        if request.flags & nbd.FUA:
            self._export.flush()

    def _status(self, request: Request) -> list[Buffer]:
        most = 1 if request.flags & nbd.REQ_ONE else _DESCRIPTORS
        last = self._contexts[-1][0]
        out: list[Buffer] = []
        for number, context in self._contexts:
            extents = self._export.extents(context, request.offset, request.length)
            found = descriptors(extents, request.length, most)
            out.append(status_chunk(request.cookie, number, found, last=number == last))
        return out

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Cut a range at whole pieces of the disk, and stop when the client is lost."""
        end = offset + length
        while offset < end and not self._lost:
            stop = min((offset // PIECE + 1) * PIECE, end)
            yield offset, stop - offset
            offset = stop
