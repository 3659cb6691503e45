"""A cable to cut: bytes pass it both ways, and are counted, until it is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from bascule.wire.control.invitation import address_parts


class Cable:
    """Connects a port of loopback with an address; ``pieces`` is how many the n-th connection lives."""

    def __init__(self, to: str, pieces: Callable[[int], float] = lambda _: float("inf")) -> None:
        self._to = address_parts(to)
        self._pieces = pieces
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_cut = False
        self.connections = 0
        self.passed_bytes = 0
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing passes any more, and who connects is hung up on."""
        self._is_cut = True
        for pair in self._pairs:
            _close(pair)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._pairs.append((near, far))
                self.connections += 1
                left = [self._pieces(self.connections)]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink, left), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, left: list[float]) -> None:
        with suppress(OSError):
            while (piece := source.recv(65536)) and left[0] > 0:
                left[0] -= 1
                self.passed_bytes += len(piece)
                sink.sendall(piece)
        _close((source, sink))


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for one in pair:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
