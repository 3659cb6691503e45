"""The guest agent's protocol: JSON lines over a channel that no end knows the other one of.

A guest answers as it likes, so nothing that comes from it is believed: answers are short, in order, and in
time, or they are Unavailable. What an earlier client left in the channel is passed over by
``guest-sync-delimited``, whose answer begins with a byte that no JSON has. The channel serves one client at
a time: another one is accepted by the kernel and never answered.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import Off, Unavailable

from ...watch import SYNC_SECONDS

_LINE_MAX: Final = 64 << 10
_SENTINEL: Final = b"\xff"
_COUNT_MAX: Final = 1 << 20


class Channel:
    """A connection to one guest's agent. Not thread-safe."""

    def __init__(self, connected: socket.socket, name: str) -> None:
        self._socket = connected
        self._name = name
        self._received = b""
        self._number = 0
        self._asked: list[int] = []

    @classmethod
    def connect(cls, path: Path) -> Channel:
        """Connect to the channel's socket on the host."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(path))
        except OSError as error:
            connected.close()
            raise Off(
                f"no guest agent's channel is at {path}: {error.strerror or error}",
                cure="see that the machine runs, and has a virtserialport named org.qemu.guest_agent.0",
            ) from error
        return cls(connected, str(path))

    def descriptor(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def sync(self, seconds: float = SYNC_SECONDS) -> None:
        """See that the agent is there, and pass over what it said to others."""
        until = time.monotonic() + seconds
        self._asked.clear()
        number = time.monotonic_ns() & 0x7FFFFFFF
        self._put(_SENTINEL + _line({"execute": "guest-sync-delimited", "arguments": {"id": number}}), until)
        while True:
            self._skip_to_sentinel(until)
            try:
                if json.loads(self._line(until)) == {"return": number}:
                    return
            except (ValueError, RecursionError):
                continue  # what was left in the channel

    def ask(self, command: str, until: float, **arguments: object) -> None:
        """Send a command; its answer is fetched by ``answer``, in the order of commands."""
        self._number += 1
        self._asked.append(self._number)
        words = {"arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        self._put(_line({"execute": command, "id": self._number} | (words if arguments else {})), until)

    @property
    def waits_for_more(self) -> bool:
        """Is the next answer one to an earlier command than the last?"""
        return len(self._asked) > 1

    def answer(self, until: float) -> object:
        """Return what the agent answers to the oldest command that it has not answered."""
        number = self._asked.pop(0)
        line = self._line(until)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._odd(line) from error
        # Agents before 4.0 do not repeat the number.
        if not isinstance(found, dict) or found.get("id", number) != number:
            raise self._odd(line)
        if "return" in found:
            return found["return"]
        raise Unavailable(
            f"the guest agent ({self._name}) refuses: {_said(found)}",
            cure="see the agent's log in the guest",
        )

    def count(self, until: float) -> int:
        """Return an answer that is a number of file systems."""
        found = self.answer(until)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _COUNT_MAX:
            raise self._odd(repr(found).encode())
        return found

    def _skip_to_sentinel(self, until: float) -> None:
        while (at := self._received.find(_SENTINEL)) < 0:
            self._received = b""
            self._receive(until)
        self._received = self._received[at:].lstrip(_SENTINEL)

    def _line(self, until: float) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > _LINE_MAX:
                raise Unavailable(
                    f"the guest agent ({self._name}) sends an endless line", cure="restart it in the guest"
                )
            self._receive(until)
        line, self._received = self._received[:end], self._received[end + 1 :]
        return line

    def _receive(self, until: float) -> None:
        self._wait([self._socket], [], until)
        try:
            data = self._socket.recv(1 << 14)
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        self._received += data

    def _put(self, data: bytes, until: float) -> None:
        self._wait([], [self._socket], until)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._gone() from error

    def _wait(self, readers: Sequence[socket.socket], writers: Sequence[socket.socket], until: float) -> None:
        if not ready(max(0.0, until - time.monotonic()), readers, writers):
            raise Unavailable(
                f"the guest agent ({self._name}) does not answer",
                cure="see that qemu-guest-agent runs in the guest, and that nobody else is at its channel",
            )

    def _odd(self, what: bytes) -> Unavailable:
        return Unavailable(
            f"the guest agent ({self._name}) answers what was not asked: {what[:80]!r}",
            cure="restart it in the guest",
        )

    def _gone(self) -> Off:
        return Off(
            f"the guest agent's channel {self._name} is gone", cure="see whether the machine was stopped"
        )

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        self._socket.close()


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _said(found: dict[str, object]) -> str:
    error = found.get("error")
    return str(error.get("desc") if isinstance(error, dict) else error)[:200]
