"""What is wrong in a vault, and the record of when it began and ended (R-OP-2).

A *condition* is so until it is not any more; an *event* is the line that is written when one begins or ends.
So an event comes once, however often anybody looks and whoever was restarted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How something stands: the worst of what is wrong with it."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong with a subject: the code, since when, the cause and what to do."""

    vault: str
    subject: str
    code: str
    health: Health
    since: float
    message: str
    cure: str = ""

    @property
    def id(self) -> str:
        """Return what names it in its vault."""
        return f"{self.subject}/{self.code}"


@dataclass(frozen=True, slots=True)
class Event:
    """A condition began, or ended: then its health is HEALTHY. ``number`` counts a server's events."""

    vault: str
    at: float
    subject: str
    code: str
    health: Health
    message: str
    cure: str = ""
    number: int = 0


def worst(conditions: Iterable[Condition]) -> Health:
    """Return the health of something with which so much is wrong."""
    found = {condition.health for condition in conditions}
    return next((health for health in (Health.CRITICAL, Health.WARNING) if health in found), Health.HEALTHY)
