"""Requests and replies over one connection, several under way at a time.

Runs may nest: what feeds one run with requests may itself ask the same
connection, for a list of extents, say. Each run gets the replies to its own.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections import deque
from collections.abc import Iterator

from bascule.model.errors import BasculeError, Damaged, Unavailable

from .connecting import lost
from .protocol.answers import AnswerReader, Pending, command_name
from .protocol.constants import DISCONNECT, REQUEST, REQUEST_MAGIC, WRITE
from .protocol.errors import error_of
from .protocol.replies import Buffer
from .streams.plain import Stream

_SLOWEST = 64 * 1024  # bytes a second below which a peer counts as silent


class _Run:
    """One run's requests: how many have no reply yet, and those that have."""

    __slots__ = ("finished", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self.finished: deque[Pending] = deque()


class Exchange:
    """A negotiated connection. Not thread-safe. A peer that breaks the rules or goes away closes it."""

    def __init__(
        self, stream: Stream, name: str, *, structured: bool, timeout: float, is_lent: bool = False
    ) -> None:
        self._stream = stream
        self._is_lent = is_lent
        self._name = name
        self._timeout = timeout
        self._answers = AnswerReader(structured=structured)
        self._cookie = 0
        self._runs: dict[Pending, _Run] = {}
        self._closed = ""

    def run(self, wanted: Iterator[Pending], depth: int) -> Iterator[Pending]:
        """Keep ``depth`` requests under way; yield those that finish, raise at the first error.

        There are more asked for once half of them are answered: a send for each reply makes both
        sides wake up twice as often.
        """
        run, more, filling = _Run(), True, True
        try:
            while True:
                if more and (filling or run.under_way <= depth // 2):
                    more = self._send(wanted, depth - run.under_way, run)
                    filling = run.under_way < depth
                    continue
                if not run.under_way and not run.finished:
                    return
                while not run.finished:
                    self._receive()
                while run.finished:
                    done = run.finished.popleft()
                    if done.error:
                        raise self._failure(done)
                    yield done
        finally:
            # The caller's buffers are being filled: they are his again only after the last reply.
            while run.under_way and not self._closed:
                self._receive()

    def one(self, request: Pending) -> Pending:
        """Make one request and wait for its reply."""
        (done,) = self.run(iter([request]), 1)
        return done

    def close(self) -> None:
        """Say goodbye and close; safe to call twice."""
        if not self._closed:
            self._closed = "it was closed"
            if not self._is_lent:
                with contextlib.suppress(OSError):
                    self._stream.send([REQUEST.pack(REQUEST_MAGIC, 0, DISCONNECT, 0, 0, 0)])
            self._stream.close()

    def fail(self, error: BasculeError) -> BasculeError:
        """Close because of an error, and return it."""
        self._closed = error.message
        if not self._is_lent:
            self._stream.abort()
        self._stream.close()
        return error

    def _send(self, wanted: Iterator[Pending], room: int, run: _Run) -> bool:
        """Send up to ``room`` requests at once, writes one by one; False when there are no more."""
        out: list[Buffer] = []
        pack, expect = REQUEST.pack, self._answers.expect
        try:
            for pending in wanted:
                if self._closed:
                    raise Unavailable(f"{self._name} is not connected: {self._closed}", cure="connect again")
                self._cookie = cookie = self._cookie + 1
                command = pending.command
                out.append(
                    pack(REQUEST_MAGIC, pending.flags, command, cookie, pending.offset, pending.length)
                )
                expect(cookie, pending)
                self._runs[pending] = run
                run.under_way += 1
                room -= 1
                if command == WRITE:
                    out.append(pending.buffer)
                    return True
                if not room:
                    return True
            return False
        finally:
            # Also when the next request was refused: replies to those before it are awaited already.
            if out:
                self._send_out(out)

    def _send_out(self, out: list[Buffer]) -> None:
        try:
            self._stream.send(out)
        except OSError as error:
            raise self.fail(lost(self._name, error)) from error

    def _receive(self) -> None:
        """Wait until at least one request is finished, of whichever run."""
        try:
            finished = self._until_finished()
        except Damaged as error:
            raise self.fail(Damaged(f"{self._name}: {error.message}")) from error
        except ssl.SSLError as error:
            raise self.fail(Damaged(f"{self._name} breaks its TLS connection: {error}")) from error
        except OSError as error:
            raise self.fail(lost(self._name, error)) from error
        for done in finished:
            run = self._runs.pop(done)
            run.under_way -= 1
            run.finished.append(done)

    def _until_finished(self) -> list[Pending]:
        answers, stream = self._answers, self._stream
        began, received = time.monotonic(), 0
        while True:
            count = stream.receive_into(answers.buffer(), answers.exact, answers.ahead())
            if not count:
                raise ConnectionResetError("it closed the connection")
            finished = answers.received(count)
            if finished:
                return finished
            received += count
            if time.monotonic() - began > self._timeout + received / _SLOWEST:
                raise TimeoutError("it sends too slowly")

    def _failure(self, done: Pending) -> BasculeError:
        what = f"{command_name(done.command)} of {done.length} bytes at {done.offset}"
        return error_of(done.error, f"{self._name}: {what}", done.message)
