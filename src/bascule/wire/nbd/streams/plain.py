"""Blocking connections with time limits, and a handshake over one.

The kernel keeps the time (SO_RCVTIMEO) because Python's own time-outs make the
socket non-blocking, which doubles the system calls and turns MSG_WAITALL off.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from bascule.model.errors import Unavailable

from ..protocol.dialogue import Dialogue
from ..protocol.replies import Buffer

T = TypeVar("T")

_IOV_MAX = 1024
_NOTHING = memoryview(b"")


class Stream(Protocol):
    """A connection. One thread receives; sends may come from any thread and stay whole."""

    def receive_into(self, buffer: memoryview, exact: bool, ahead: memoryview = _NOTHING) -> int:
        """Receive at least one byte, all of ``buffer`` if ``exact`` and nothing goes wrong; 0 at the end.

        With ``exact``, ``ahead`` may be filled with what comes behind, and counts.
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


def wait_at_most(connected: socket.socket, seconds: float) -> None:
    """Have the kernel limit each receive and send of a blocking socket; a late one is a BlockingIOError."""
    whole = max(int(seconds), 0)
    limit = struct.pack("@ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1000))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


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

    def receive_into(self, buffer: memoryview, exact: bool, ahead: memoryview = _NOTHING) -> int:
        """See Stream."""
        try:
            if ahead:
                return self._socket.recvmsg_into([buffer, ahead], 0, socket.MSG_WAITALL)[0]
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
        wait_at_most(self._socket, seconds)

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


def _tune_tcp(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that lost its power says nothing: ask after a minute, give up after two.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
