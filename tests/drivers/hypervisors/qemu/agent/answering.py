"""A guest agent in this process: it answers as the real one does, or as a hostile guest would."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Answers = Callable[[dict[str, Any]], bytes]


class Answering:
    """Serves one client after another at a socket, as QEMU does."""

    def __init__(self, path: Path) -> None:
        self.frozen = 0
        self.heard: list[str] = []
        self.is_silent = False
        self.instead: dict[str, Answers] = {}
        self._client: socket.socket | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._client = client
                with client, suppress(OSError), client.makefile("rb") as lines:
                    for line in lines:
                        if not self.is_silent:
                            client.sendall(self._answer(json.loads(line.lstrip(b"\xff"))))

    def _answer(self, asked: dict[str, Any]) -> bytes:
        name = asked["execute"]
        self.heard.append(name)
        if name in self.instead:
            return self.instead[name](asked)
        if name == "guest-sync-delimited":
            return b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode() + b"\n"
        return json.dumps({"return": self._obey(name), "id": asked["id"]}).encode() + b"\n"

    def _obey(self, name: str) -> object:
        if name == "guest-fsfreeze-freeze":
            self.frozen = 2
            return 2
        if name == "guest-fsfreeze-thaw":
            was, self.frozen = self.frozen, 0
            return was
        return "frozen" if self.frozen else "thawed"

    def hang_up(self) -> None:
        """Close the connection, as a QEMU does that is killed."""
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
