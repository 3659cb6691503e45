"""How often somebody may try to sign in: a few times wrong, and not too often right.

Names that nobody has share one count, so there are never more counts than principals and one.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from bascule.model.errors import Refused
from bascule.ports.chance import Clock

FAILURES_MAX = 10
SIGN_INS_MAX = 120
WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class _Count:
    since: float
    failures: int = 0
    tries: int = 0


class Attempts:
    """Counts by name, forgotten after a while. Thread-safe."""

    def __init__(self, clock: Clock, seconds: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._guard = Lock()
        self._counts: dict[str, _Count] = {}

    def begin(self, name: str) -> None:
        """Count a try, and refuse it if there were too many."""
        with self._guard:
            count = self._count(name)
            count.tries += 1
            if count.failures >= FAILURES_MAX or count.tries > SIGN_INS_MAX:
                left = count.since + self._seconds - self._clock.monotonic()
                raise Refused(
                    "there were too many attempts to sign in",
                    cure=f"wait {max(1, round(left))} seconds, and see that the secret is right",
                    code="too-many-attempts",
                )

    def fail(self, name: str) -> None:
        """Count a wrong secret."""
        with self._guard:
            self._count(name).failures += 1

    def succeed(self, name: str) -> None:
        """Forget the wrong secrets of somebody who has the right one."""
        with self._guard:
            self._count(name).failures = 0

    def forget(self, name: str) -> None:
        """Let somebody try as if they never had."""
        with self._guard:
            self._counts.pop(name, None)

    def _count(self, name: str) -> _Count:
        now = self._clock.monotonic()
        found = self._counts.get(name)
        if found is None or now - found.since >= self._seconds:
            found = self._counts[name] = _Count(now)
        return found
