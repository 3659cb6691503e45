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
_SPAN = re.compile(r"(\d{1,9})([smhdw])\Z")

Aged = tuple[int, float]
"""A point's number and its time."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Up to ``age_seconds`` old, keep one point per ``interval_seconds``; 0 keeps all."""

    age_seconds: int
    interval_seconds: int

    def oldest(self, points: list[Aged]) -> list[Aged]:
        """Return the first of the points in each interval, of whatever age."""
        if self.interval_seconds == 0:
            return points
        first: dict[int, Aged] = {}
        for point in points:
            first.setdefault(int(point[1] // self.interval_seconds), point)
        return list(first.values())


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

    def keep(self, points: Iterable[Aged]) -> set[int]:
        """Return the numbers to keep of points given as (number, time).

        Of each interval its oldest point stays, of those that the rungs before would keep:
        so what a rung keeps was kept by all before it, and asking now removes nothing that
        asking later would have kept. How often this is asked does not matter either if
        each interval is a multiple of the one before. The newest point always stays.
        """
        left = sorted(points, key=lambda point: point[0])
        if not left:
            return set()
        newest = max(time for _, time in left)
        kept = {left[-1][0]}
        for rung in self.rungs:
            left = rung.oldest(left)
            kept |= {number for number, time in left if self._rung(newest - time) == rung}
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
