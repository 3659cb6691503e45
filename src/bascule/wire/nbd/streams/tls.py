"""An encrypted connection over another one.

TLS runs through memory buffers because OpenSSL's connections are not made for
one thread that reads while another writes.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from ..protocol.replies import Buffer
from .plain import Stream, check_deadline

_TLS_PIECE = 256 * 1024


_NOTHING = memoryview(b"")


class TlsStream:
    """An encrypted connection over another stream."""

    def __init__(
        self, below: Stream, context: ssl.SSLContext, *, server_side: bool, name: str | None, deadline: float
    ) -> None:
        self._below = below
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side, None if server_side else name)
        # With a buffer to fill, read returns how much it filled, of one record.
        self._read_into = cast(Callable[[int, memoryview], int], self._tls.read)
        self._scratch = memoryview(bytearray(128 * 1024))
        self._state = threading.Lock()  # around the TLS object; never held while a socket waits
        self._sending = threading.Lock()  # keeps records in the order they were made; taken first
        self._shake_hands(deadline)

    def _shake_hands(self, deadline: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            check_deadline(deadline)
            if not self._fill():
                raise ConnectionResetError("the peer closed the connection during the TLS handshake")

    def receive_into(self, buffer: memoryview, exact: bool, ahead: memoryview = _NOTHING) -> int:
        """See Stream."""
        del ahead  # what comes behind is decrypted when it is asked for
        have = 0
        while True:
            have += self._read(buffer[have:])
            if have == len(buffer) or (have and not exact):
                return have
            if not self._fill():
                return have

    def _read(self, buffer: memoryview) -> int:
        have = 0
        with self._state:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while have < len(buffer):
                    got = self._read_into(len(buffer) - have, buffer[have:])
                    if not got:
                        break
                    have += got
            answer = self._out.pending
        if answer:
            with self._sending:
                self._flush()
        return have

    def _fill(self) -> bool:
        count = self._below.receive_into(self._scratch, False)
        with self._state:
            self._in.write(self._scratch[:count])
        return count > 0

    def send(self, buffers: Sequence[Buffer]) -> None:
        """See Stream."""
        with self._sending:
            for piece in _gather(buffers):
                with self._state:
                    sent = 0
                    while sent < len(piece):
                        sent += self._tls.write(memoryview(piece)[sent:])
                self._flush()

    def _flush(self) -> None:
        with self._state:
            data = self._out.read()
        if data:
            self._below.send([data])

    def set_timeout(self, seconds: float) -> None:
        """See Stream."""
        self._below.set_timeout(seconds)

    def stop_receiving(self) -> None:
        """See Stream."""
        self._below.stop_receiving()

    def abort(self) -> None:
        """See Stream."""
        self._below.abort()

    def close(self) -> None:
        """Say goodbye if that is possible at once, and close."""
        with contextlib.suppress(OSError, ValueError):
            with self._state, contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._below.close()


def _gather(buffers: Iterable[Buffer]) -> Iterable[Buffer]:
    """Join small buffers, for every write makes a TLS record of its own."""
    waiting: list[Buffer] = []
    size = 0
    for buffer in buffers:
        for at in range(0, len(buffer), _TLS_PIECE):
            piece = memoryview(buffer)[at : at + _TLS_PIECE]
            waiting.append(piece)
            size += len(piece)
            if size >= _TLS_PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
