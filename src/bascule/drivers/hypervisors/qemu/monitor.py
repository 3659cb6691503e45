"""QEMU's monitor protocol (QMP): one command, one answer, and events in between.

JSON lines over a Unix socket. A QMP socket serves one client at a time: a second one is
accepted by the kernel and then never greeted, which is why the greeting has a time limit
of its own and an error that says so.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import Damaged, Off, Refused, Unavailable
from bascule.wire.nbd.streams.plain import wait_at_most

_GREETING_SECONDS = 75  # longer than the keeper of a dead process holds on
_ANSWER_SECONDS = 60
_EVENTS_MAX = 1000
_LINE_MAX = 64 << 20

Json = dict[str, Any]


class Command(NamedTuple):
    """A command and its arguments, as QEMU spells them."""

    name: str
    arguments: Mapping[str, object] = {}


class QemuRefused(Refused):
    """QEMU understood a command and said no."""

    code = "qemu-refused"


class Monitor:
    """A connection to one QEMU's monitor. Not thread-safe."""

    def __init__(self, connected: socket.socket, name: str) -> None:
        self._socket = connected
        self._name = name
        self._received = bytearray()
        self._events: deque[Json] = deque(maxlen=_EVENTS_MAX)
        self._number = 0

    @classmethod
    def connect(cls, path: Path | str) -> Monitor:
        """Connect to a QMP socket and leave the negotiation behind."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(path))
        except OSError as error:
            connected.close()
            raise Off(
                f"nobody answers on the QMP socket {path}: {error.strerror}",
                cure="start the machine with -qmp unix:PATH,server=on,wait=off, or check the path",
            ) from error
        monitor = cls(connected, str(path))
        try:
            monitor._shake_hands()
        except BaseException:
            monitor.close()
            raise
        return monitor

    def _shake_hands(self) -> None:
        # Not settimeout: it makes a socket non-blocking, and for the keeper, which shares it, too.
        wait_at_most(self._socket, _GREETING_SECONDS)
        try:
            greeting = self._message()
        except Unavailable as error:
            raise Unavailable(
                f"the QMP socket {self._name} does not greet",
                cure="it serves one client at a time: see who else is connected to it",
            ) from error
        if "QMP" not in greeting:
            raise Damaged(f"{self._name} is no QMP socket: it greets with {sorted(greeting)}")
        wait_at_most(self._socket, _ANSWER_SECONDS)
        self.execute("qmp_capabilities")

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def execute(self, command: str, /, **arguments: object) -> Any:
        """Run one command and return its answer; ``_`` in argument names stands for ``-``."""
        spelled = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.run([Command(command, spelled)])[0]

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together, so that QEMU has all of them before it begins, and return their answers.

        All are run, whatever becomes of one; the first refusal is raised after the last answer.
        """
        first = self._number + 1
        self._number += len(commands)
        lines = [
            json.dumps({"execute": command.name, "arguments": dict(command.arguments), "id": first + place})
            for place, command in enumerate(commands)
        ]
        try:
            self._socket.sendall("\n".join([*lines, ""]).encode())
        except OSError as error:
            raise self._gone(error) from error
        answers = [self._answer(first + place) for place in range(len(commands))]
        for command, answer in zip(commands, answers, strict=True):
            if "error" in answer:
                raise QemuRefused(f"QEMU ({self._name}) refuses {command.name}: {answer['error']['desc']}")
        return [answer["return"] for answer in answers]

    def hand_over(self, name: str, descriptor: int) -> None:
        """Give QEMU a descriptor, which it holds under a name until ``closefd``, whatever becomes of us."""
        self._number += 1
        command = {"execute": "getfd", "arguments": {"fdname": name}, "id": self._number}
        try:
            socket.send_fds(self._socket, [json.dumps(command).encode() + b"\n"], [descriptor])
        except OSError as error:
            raise self._gone(error) from error
        answer = self._answer(self._number)
        if "error" in answer:
            raise QemuRefused(f"QEMU ({self._name}) refuses getfd: {answer['error']['desc']}")

    def _answer(self, number: int) -> Json:
        while True:
            message = self._message()
            if "event" in message:
                self._events.append(message)
            elif message.get("id") == number:
                return message

    def wait_for(self, event: str, matches: Callable[[Json], bool]) -> Json:
        """Wait for an event whose data ``matches``, among those that came already too."""
        while True:
            for seen in self._events:
                if seen["event"] == event and matches(seen.get("data", {})):
                    self._events.remove(seen)
                    return seen
            message = self._message()
            if "event" in message:
                self._events.append(message)

    def hears(self, event: str, seconds: float) -> bool:
        """Wait so long for an event of a name; tell whether it came, now or before."""
        deadline = time.monotonic() + seconds
        while not any(seen["event"] == event for seen in self._events):
            left = max(deadline - time.monotonic(), 0.0)
            if b"\n" not in self._received and not ready(left, [self._socket]):
                return False
            message = self._message()
            if "event" in message:
                self._events.append(message)
        return True

    def _message(self) -> Json:
        while (end := self._received.find(b"\n")) < 0:
            try:
                data = self._socket.recv(1 << 16)
            except OSError as error:
                raise self._gone(error) from error
            if not data:
                raise self._gone(None)
            self._received += data
            if len(self._received) > _LINE_MAX:
                raise Damaged(f"QEMU ({self._name}) sends an endless line")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise Damaged(f"QEMU ({self._name}) sends what is no JSON: {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise Damaged(f"QEMU ({self._name}) sends what is no object: {line[:80]!r}")
        return message

    def _gone(self, error: OSError | None) -> Unavailable:
        if isinstance(error, BlockingIOError):
            return Unavailable(
                f"QEMU ({self._name}) does not answer", cure="look whether the machine hangs, then try again"
            )
        return Unavailable(f"QEMU ({self._name}) is gone", cure="see whether the machine was stopped")

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        self._socket.close()
