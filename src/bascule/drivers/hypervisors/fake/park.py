"""Machines in memory by their names, made when they are first asked for: ``fake:NAME?disks=2&mib=8``.

They live as long as the process. Hundreds of them cost a provider what it costs by itself.
"""

from __future__ import annotations

import threading
from urllib.parse import parse_qsl

from bascule.model.errors import Refused, Unavailable
from bascule.ports.chance import Clock, Ids

from .agent import FakeAgent, FakeGuest
from .machine import FakeHost, FakeMachine, FakeSource

_MIB = 1 << 20


class FakePark:
    """All fake machines of a process. Thread-safe."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._guard = threading.Lock()
        self._hosts: dict[str, FakeHost] = {}
        self._guests: dict[str, FakeGuest] = {}

    def adopt(self, words: str) -> FakeMachine:
        """Connect to a machine."""
        with self._guard:
            host = self._hosts.get(words)
            if host is None:
                host = self._hosts[words] = _host(words)
        return FakeMachine(host, self._clock, self._ids)

    def agent(self, words: str) -> FakeAgent:
        """Return the agent in a machine's guest."""
        with self._guard:
            guest = self._guests.setdefault(words, FakeGuest())
        return FakeAgent(guest, self._clock)

    def open(self, words: str) -> FakeSource:
        """Open a frozen disk of one of the machines."""
        with self._guard:
            hosts = list(self._hosts.values())
        for host in hosts:
            if (source := host.images.get(words)) is not None:
                return source
        raise Unavailable(f"nothing is served at {words}")


def _host(words: str) -> FakeHost:
    name, _, options = words.removeprefix("fake:").partition("?")
    chosen = {"disks": "1", "mib": "1"} | dict(parse_qsl(options))
    if chosen.keys() != {"disks", "mib"} or not (chosen["disks"] + chosen["mib"]).isdecimal() or not name:
        raise Refused(f"{words!r} names no fake machine", cure="write fake:NAME?disks=2&mib=8")
    size = int(chosen["mib"]) * _MIB
    return FakeHost({f"disk{number}": bytes(size) for number in range(int(chosen["disks"]))}, name)
