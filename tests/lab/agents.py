"""Talking to QEMU's guest agent at its channel."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any

from lab.waiting import wait_until


class Agent:
    """QEMU's guest agent."""

    def __init__(self, channel: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(channel))
        self._lines = self._socket.makefile("rw")

    def ask(self, command: str, **words: Any) -> Any:
        """Return what the agent answers to a command."""
        self.tell(command, **words)
        answer = json.loads(self._lines.readline())
        assert "return" in answer, answer
        return answer["return"]

    def tell(self, command: str, **words: Any) -> None:
        """Send a command, as one that has no answer."""
        self._lines.write(json.dumps({"execute": command, "arguments": words}) + "\n")
        self._lines.flush()

    def run(self, *command: str) -> str:
        """Run a program in the guest and return what it printed."""
        words = {"path": command[0], "arg": command[1:], "capture-output": True}
        pid = self.ask("guest-exec", **words)["pid"]
        answers: list[Any] = []

        def has_ended() -> bool:
            answers.append(self.ask("guest-exec-status", pid=pid))
            return bool(answers[-1]["exited"])

        wait_until(has_ended, 300)
        return base64.b64decode(answers[-1].get("out-data", "")).decode()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
