"""Keep transfers below a number of bytes per second, each way, by the hour.

A transfer goes when nothing is owed, and then owes its own size, which is paid off
at the rate of the moment. So the average holds for objects of any size, and a new
rate or a new hour counts at once, also for those who wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from bascule.model.errors import Refused
from bascule.ports.chance import Clock
from bascule.ports.objects import ObjectInfo, ObjectStore

from .files.system import Buffer

_SHORTEST_NAP, _LONGEST_NAP = 0.001, 1.0
_MONDAY_TO_FRIDAY = frozenset(range(5))


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes per second each way; None is without limit."""

    upload: float | None = None
    download: float | None = None

    def __post_init__(self) -> None:
        if any(way is not None and way <= 0 for way in (self.upload, self.download)):
            raise Refused("a rate must be above zero", cure="leave it out for no limit; to stop, pause")


@dataclass(frozen=True, slots=True)
class Schedule:
    """One rate for the working hours and one for all others.

    Hours run from ``start`` to ``end`` on the local clock (or that of ``zone``); if
    ``end`` is not later they run past midnight and belong to the day they start on.
    """

    other: Rate = Rate()
    working: Rate | None = None
    start: int = 8
    end: int = 18
    days: frozenset[int] = _MONDAY_TO_FRIDAY
    zone: tzinfo | None = None

    def at(self, now: float) -> Rate:
        """Return the rate of a moment."""
        return self.working if self.working and self._is_working(now) else self.other

    def _is_working(self, now: float) -> bool:
        moment = datetime.fromtimestamp(now, self.zone)
        day, hour = moment.weekday(), moment.hour
        if self.start < self.end:
            return day in self.days and self.start <= hour < self.end
        return (day in self.days and hour >= self.start) or ((day - 1) % 7 in self.days and hour < self.end)


class LimitedStore:
    """The ObjectStore port over another one, with reads and creates held to a schedule."""

    def __init__(self, inner: ObjectStore, clock: Clock, schedule: Schedule) -> None:
        self._inner = inner
        self._clock = clock
        self._schedule = schedule
        self._up = _Account(clock)
        self._down = _Account(clock)

    def __repr__(self) -> str:
        return f"LimitedStore({self._inner!r})"

    def change(self, schedule: Schedule) -> None:
        """Go by another schedule from now on."""
        self._schedule = schedule

    def create(self, name: str, data: Buffer) -> None:
        size = memoryview(data).nbytes
        while wait := self._up.charge(size, self._rate().upload):
            self._clock.sleep(wait)
        self._inner.create(name, data)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        while wait := self._down.charge(buffer.nbytes, self._rate().download):
            self._clock.sleep(wait)
        count = self._inner.read(name, offset, buffer)
        self._down.refund(buffer.nbytes - count)
        return count

    def stat(self, name: str) -> ObjectInfo:
        return self._inner.stat(name)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._inner.list(prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        self._inner.delete(names)

    def close(self) -> None:
        self._inner.close()

    def _rate(self) -> Rate:
        return self._schedule.at(self._clock.now())


class _Account:
    """What one direction owes, in bytes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._owed = 0.0
        self._paid_at = clock.monotonic()

    def charge(self, size: int, rate: float | None) -> float:
        """Take ``size`` on if nothing is owed and return 0, else the seconds to wait before asking again."""
        with self._lock:
            now = self._clock.monotonic()
            self._owed = max(0.0, self._owed - (now - self._paid_at) * rate) if rate else 0.0
            self._paid_at = now
            if rate and self._owed >= 1:
                return max(min(self._owed / rate, _LONGEST_NAP), _SHORTEST_NAP)
            self._owed = float(size)
            return 0.0

    def refund(self, size: int) -> None:
        """Take back what was charged and not transferred."""
        with self._lock:
            self._owed = max(0.0, self._owed - size)
