"""Time, chance and names come in from outside, so that a simulation has a seed."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time of this machine. The store's own time comes from its objects."""

    def now(self) -> float:
        """Seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait; only supervisors and back-off call it."""


class Ids(Protocol):
    """A source of randomness fit for keys and names."""

    def random(self, count: int) -> bytes:
        """Return ``count`` unpredictable bytes."""
