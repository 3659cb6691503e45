"""When the next cycle is due, and when a failed one is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bascule.model.errors import Unavailable
from bascule.model.retries import next_try
from bascule.ports.chance import Clock

from .replicator import Cycled


class Listener(Protocol):
    """Who is told how it goes."""

    def cycled(self, done: Cycled) -> None:
        """Hear of a point that was made."""

    def failed(self, error: Unavailable, retry_seconds: float) -> None:
        """Hear of a cycle that failed for a reason that passes."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often, and for how long; no number of points means until it is stopped."""

    every_seconds: float
    points: int | None = None


def keep_on(
    cycle: Callable[[], Cycled],
    rhythm: Rhythm,
    clock: Clock,
    listener: Listener,
    wait: Callable[[float], bool],
) -> None:
    """Run cycle after cycle; ``wait`` sleeps and returns True when it is time to stop.

    A cycle that takes longer than the interval is followed by the next at once, and none
    is made up for. What will not pass by itself (Refused, Damaged) is raised.
    """
    made, due = 0, clock.monotonic()
    failing_since: float | None = None
    while True:
        begun = clock.monotonic()
        try:
            listener.cycled(cycle())
        except Unavailable as error:
            failing_since = begun if failing_since is None else failing_since
            due = next_try(failing_since, clock.monotonic())
            listener.failed(error, due - clock.monotonic())
        else:
            failing_since, made = None, made + 1
            if made == rhythm.points:
                return
            due = max(due + rhythm.every_seconds, clock.monotonic())
        if wait(max(0.0, due - clock.monotonic())):
            return
