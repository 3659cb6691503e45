"""What is asked of a replication (R-P-5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .consent.applications import application
from .errors import Refused
from .hours import OUTSIDE_OFFICE, Hours, time_of_day
from .retention import Ladder

INTERVALS = {1: "1s", 5: "5s", 30: "30s", 300: "5m", 900: "15m"}
_NAMES = ", ".join(INTERVALS.values())


class Consistency(StrEnum):
    """In what state a point found its machines, as the store spells it (R-RP-1)."""

    CRASH = "crash"
    FILE_SYSTEM = "filesystem"
    APPLICATION = "application"


AUTO, OFF = "auto", "off"
"""Words for the guest agent: the one that the machine has, or none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Interval, retention, thresholds; every field is what ``bascule protect`` says when nothing is said.

    ``app_consistent_seconds`` is how often a point is to be more than crash-consistent, 0 for never;
    ``agent`` freezes the guests for it (``auto``, ``off``, or the socket of its channel), ``before`` and
    ``after`` are commands of the operator around that, ``applications`` say what to ready in the guests, as
    ``NAME`` or ``MACHINE=NAME`` (R-RP-1). ``limit`` is its own bandwidth by the hour beside that of the host,
    ``workers`` are its threads if not as many as the host gives each (R-R-4). Between points a machine that
    writes nothing is looked at every interval, and becomes a point every ``idle_point_seconds``. A vault
    begins the first copy at ``first_copy_at``, a time of its day, or at once.
    """

    interval_seconds: int = 30
    retention: str = "2h:all,24h:5m,30d:1d"
    rpo_threshold_seconds: int = 900
    app_consistent_seconds: int = 0
    resync_hours: str = OUTSIDE_OFFICE
    idle_point_seconds: int = 300
    agent: str = AUTO
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    limit: str = ""
    workers: int = 0
    first_copy_at: str = ""

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
        if 0 < self.app_consistent_seconds < self.interval_seconds:
            raise Refused(
                f"points every {self.interval_seconds} s cannot be consistent"
                f" every {self.app_consistent_seconds} s",
                cure="ask for consistent points less often, or make points more often",
            )
        if self.applications and self.agent == OFF:
            raise Refused(
                "applications are made ready by the guest's agent, and that is off",
                cure="leave --agent off out; or make them ready by commands of your own: --before, --after",
            )
        for words in self.applications:
            application(words)
        Ladder.parse(self.retention)
        Hours.parse(self.resync_hours)
        if self.first_copy_at:
            time_of_day(self.first_copy_at)
