"""How hydration behaves beside a guest: the machine comes first, and the copy still ends.

A machine that boots needs its processors and its disks now, and a copy beside it takes both: with 2 GiB to
be copied a boot took 1.7 times as long, and at the lowest priority still 1.4 times. So a copy does not
begin until the machine has come to rest: it asked for nothing for some seconds, or it had half a minute.
From then on whoever copies rests four times as long as it worked, as long as the guest goes on asking.
All of these waits are bounded, so a guest that never rests makes the copy slower and cannot stop it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_EXPECTED_SECONDS = 2.0
_QUIET_SECONDS = 5.0
SETTLING_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_RESTS = 4
_REST_SECONDS_MAX = 0.25

Wait = Callable[[float], object]
"""Waits for so many seconds; raises where the copy is to end."""


class Traffic:
    """What guests asked so far, counted without a lock: a lost count now and then does no harm."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = 0


class Courtesy:
    """When one server's hydrations may go on. Thread-safe, as ``Traffic`` is.

    ``settling_seconds`` is how long a guest that boots is left alone at most; 0 where none is expected.
    """

    def __init__(
        self,
        traffic: Traffic,
        step_aside: Callable[[float], None] = lambda _seconds: None,
        now: Callable[[], float] = time.monotonic,
        *,
        settling_seconds: float = 0.0,
    ) -> None:
        self._traffic = traffic
        self._step_aside = step_aside
        self._now = now
        self._changed = now()
        self._asked = traffic.asked
        self._until = self._changed + settling_seconds
        self._is_settled = False

    def let_settle(self, wait: Wait) -> None:
        """Wait until the guest has come to rest, had its time, or does not come."""
        while not self._is_settled:
            self._is_settled = self._has_settled()
            if not self._is_settled:
                wait(_LOOK_SECONDS)

    def _has_settled(self) -> bool:
        now, asked = self._now(), self._traffic.asked
        if asked != self._asked:
            self._asked, self._changed = asked, now
        quiet = _QUIET_SECONDS if asked else _EXPECTED_SECONDS
        return now - self._changed >= quiet or now >= self._until

    def work(self, unit: Callable[[], None], wait: Wait) -> None:
        """Do a small unit of work when no read waits, and rest if the guest asked for something meanwhile."""
        self._step_aside(_REST_SECONDS_MAX)
        asked, began = self._traffic.asked, self._now()
        unit()
        if self._traffic.asked != asked:
            wait(min((self._now() - began) * _RESTS, _REST_SECONDS_MAX))
