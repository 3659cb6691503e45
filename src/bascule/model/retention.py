"""Which points to keep as they age (R-RP-2).

A ladder has rungs: up to this age keep one point per this interval. Ages count
from the newest point, not from now, so while no new point is made none is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import Refused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+)([smhdw])\Z")


@dataclass(frozen=True, slots=True)
class Rung:
    """Up to ``age_seconds`` old, keep one point per ``interval_seconds``; 0 keeps all."""

    age_seconds: int
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs from young to old; what is older than the last rung goes."""

    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        ages = [rung.age_seconds for rung in self.rungs]
        if not ages or ages != sorted(set(ages)):
            raise Refused(
                "a retention ladder needs rungs of growing age", cure="such as 2h:all,24h:1h,30d:1d"
            )

    @classmethod
    def parse(cls, text: str) -> Ladder:
        """Read ``2h:all,24h:1h,30d:1d``: all of two hours, then hourly for a day, then daily for a month."""
        rungs = []
        for rung in text.split(","):
            age, _, interval = rung.strip().partition(":")
            rungs.append(Rung(_seconds(age, text), 0 if interval == "all" else _seconds(interval, text)))
        return cls(tuple(rungs))

    def keep(self, points: Iterable[tuple[int, float]]) -> set[int]:
        """Return the numbers to keep of points given as (number, time).

        Of each interval its oldest point stays: a point kept once is kept until its
        rung ends, however often this is asked. The newest point always stays.
        """
        ordered = sorted(points, key=lambda point: point[0])
        if not ordered:
            return set()
        newest = max(time for _, time in ordered)
        kept = {ordered[-1][0]}
        taken: set[tuple[int, int]] = set()
        for number, time in ordered:
            rung = self._rung(newest - time)
            if rung is None:
                continue
            if rung.interval_seconds == 0:
                kept.add(number)
                continue
            slot = (rung.interval_seconds, int(time // rung.interval_seconds))
            if slot not in taken:
                taken.add(slot)
                kept.add(number)
        return kept

    def _rung(self, age: float) -> Rung | None:
        return next((rung for rung in self.rungs if age <= rung.age_seconds), None)


def _seconds(text: str, ladder: str) -> int:
    match = _SPAN.match(text)
    if not match or int(match[1]) == 0:
        raise Refused(
            f"{text!r} in the retention ladder {ladder!r} is no span of time",
            cure="write rungs as AGE:INTERVAL, for example 2h:all,24h:1h,30d:1d",
        )
    return int(match[1]) * _UNITS[match[2]]
