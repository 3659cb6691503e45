"""A server's address that can go away and come back, while the server behind it keeps what it has."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_PIECE = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Relay:
    """Passes connections on to a loopback port; they come to a free one, or to a socket that listens.

    ``sent`` counts the bytes that clients sent there, ``missed`` who came in vain since the last cut.
    """

    def __init__(self, server: int, listener: socket.socket | None = None) -> None:
        self._server = server
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.sent = self.missed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Be as a server that was killed: all connections are reset, and nobody gets another one."""
        with self._guard:
            self._is_cut, self.missed = True, 0
            for each in self._open:
                _reset(each)
            self._open.clear()

    def heal(self) -> None:
        """Be there again."""
        with self._guard:
            self._is_cut = False

    def close(self) -> None:
        """Be gone for good."""
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                self._connect(self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        with self._guard:
            if self._is_cut:
                self.missed += 1
                _reset(client)
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            self._open |= {client, server}
        threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
        threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):  # one of them is gone
            while data := source.recv(_PIECE):
                if is_counted:
                    with self._guard:
                        self.sent += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """End a connection without a goodbye, for those too who wait in it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
