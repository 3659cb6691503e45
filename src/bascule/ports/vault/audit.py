"""Who did what, and what was refused (R-OP-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody did or was refused. ``code`` is empty for what was done."""

    at: float
    who: str
    what: str
    subject: str = ""
    code: str = ""
    detail: str = ""


class Audit(Protocol):
    """The record of deeds. It is bounded: the oldest ones are let go of."""

    def note(self, deed: Deed) -> None:
        """Write a deed down, durably."""

    def deeds(self, limit: int) -> tuple[Deed, ...]:
        """Return the newest deeds, newest first."""
