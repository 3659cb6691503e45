"""Blocking connections with time limits: plain, and encrypted.

The kernel keeps the time (SO_RCVTIMEO) because Python's own time-outs make the
socket non-blocking, which doubles the system calls and turns MSG_WAITALL off.

TLS runs through memory buffers because OpenSSL's connections are not made for
one thread that reads while another writes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar, cast

from bascule.model.errors import Unavailable

from .protocol.dialogue import Dialogue
from .protocol.replies import Buffer

T = TypeVar("T")

_IOV_MAX = 1024
_TLS_PIECE = 256 * 1024


class Stream(Protocol):
    """A connection. One thread receives; sends may come from any thread and stay whole."""

    def receive_into(self, buffer: memoryview, exact: bool) -> int:
        """Receive at least one byte, all of ``buffer`` if ``exact`` and nothing goes wrong; 0 at the end.

        Raises TimeoutError when nothing came in time.
        """

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send all of ``buffers``, or raise OSError."""

    def set_timeout(self, seconds: float) -> None:
        """Limit how long one receive or send may take."""

    def stop_receiving(self) -> None:
        """Make the receiving thread see the end, now."""

    def abort(self) -> None:
        """Make every thread that receives or sends fail, now."""

    def close(self) -> None:
        """Close; safe to call twice."""


class PlainStream:
    """A connected socket, TCP or Unix. It belongs to the stream from now on."""

    def __init__(self, connected: socket.socket, timeout: float) -> None:
        self._socket = connected
        self._sending = threading.Lock()
        connected.setblocking(True)
        self.set_timeout(timeout)
        # Buffers stay as the kernel sizes them: 4 MiB of them took a third longer to
        # copy a disk than the usual 208 KiB, which fit a core's cache.
        if connected.family != socket.AF_UNIX:
            _tune_tcp(connected)

    def receive_into(self, buffer: memoryview, exact: bool) -> int:
        """See Stream."""
        try:
            return self._socket.recv_into(buffer, 0, socket.MSG_WAITALL if exact else 0)
        except BlockingIOError as error:
            raise TimeoutError("the peer sent nothing in time") from error

    def send(self, buffers: Sequence[Buffer]) -> None:
        """See Stream."""
        with self._sending:
            for at in range(0, len(buffers), _IOV_MAX):
                self._send(buffers[at : at + _IOV_MAX])

    def _send(self, buffers: Sequence[Buffer]) -> None:
        try:
            sent = self._socket.sendmsg(buffers)
            for buffer in buffers:
                if sent >= len(buffer):
                    sent -= len(buffer)
                    continue
                # A short send means a signal or a slow peer; either way the rest is due.
                self._socket.sendall(memoryview(buffer)[sent:])
                sent = 0
        except BlockingIOError as error:
            raise TimeoutError("the peer took nothing in time") from error

    def set_timeout(self, seconds: float) -> None:
        """See Stream."""
        whole = max(int(seconds), 0)
        limit = struct.pack("@ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def stop_receiving(self) -> None:
        """See Stream."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """See Stream."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See Stream."""
        self._socket.close()


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

    def receive_into(self, buffer: memoryview, exact: bool) -> int:
        """See Stream."""
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


Upgrade = Callable[[Stream], Stream]


def converse(dialogue: Dialogue[T], stream: Stream, upgrade: Upgrade, deadline: float) -> tuple[T, Stream]:
    """Run a handshake to its end; return its result and the stream to go on with."""
    while True:
        outgoing = dialogue.take_outgoing()
        if dialogue.finished:
            # Last words may find the peer gone; if it is still wanted, that shows soon enough.
            with contextlib.suppress(OSError):
                stream.send([outgoing])
            return dialogue.result, stream
        if outgoing:
            stream.send([outgoing])
        check_deadline(deadline)
        if dialogue.wants_tls:
            stream = upgrade(stream)
            dialogue.tls_started()
            continue
        count = stream.receive_into(dialogue.buffer(), True)
        if not count:
            raise ConnectionResetError("the peer closed the connection during the handshake")
        dialogue.received(count)


def check_deadline(deadline: float) -> None:
    """Raise when the monotonic clock has passed ``deadline``."""
    if time.monotonic() > deadline:
        raise Unavailable("The NBD peer takes too long", cure="look at the network and at the peer's load")


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


def _tune_tcp(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that lost its power says nothing: ask after a minute, give up after two.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
