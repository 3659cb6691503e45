"""What is asked of a replication (R-P-5)."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Refused
from .hours import OUTSIDE_OFFICE, Hours
from .retention import Ladder

INTERVALS = {1: "1s", 5: "5s", 30: "30s", 300: "5m", 900: "15m"}
_NAMES = ", ".join(INTERVALS.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """Interval, retention, thresholds; every field is what ``bascule protect`` says when nothing is said.

    ``app_consistent_seconds`` is 0 where no such points are asked for. Between points a machine that
    writes nothing is looked at every interval, and becomes a point every ``idle_point_seconds``.
    """

    interval_seconds: int = 30
    retention: str = "2h:all,24h:5m,30d:1d"
    rpo_threshold_seconds: int = 900
    app_consistent_seconds: int = 0
    resync_hours: str = OUTSIDE_OFFICE
    idle_point_seconds: int = 300

    def __post_init__(self) -> None:
        if self.interval_seconds not in INTERVALS:
            raise Refused(
                f"no policy makes points every {self.interval_seconds} seconds", cure=f"choose of {_NAMES}"
            )
        if self.rpo_threshold_seconds < self.interval_seconds:
            raise Refused(
                f"an RPO of {self.rpo_threshold_seconds} s cannot be kept by points every"
                f" {self.interval_seconds} s",
                cure="raise the threshold, or make points more often",
            )
        Ladder.parse(self.retention)
        Hours.parse(self.resync_hours)
