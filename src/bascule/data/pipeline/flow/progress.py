"""How far a transfer got, how fast it is and how long it still needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from bascule.ports.chance import Clock

WINDOW_SECONDS = 10.0
REPORT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a transfer; the rate is that of the last seconds, not of the whole."""

    done_bytes: int
    total_bytes: int
    stored_bytes: int
    elapsed_seconds: float
    rate_bytes: float
    seconds_left: float | None


Observer = Callable[[Progress], None]


class Meter:
    """Adds up what workers report and tells an observer, at most a few times a second and in order."""

    def __init__(self, clock: Clock, observer: Observer | None = None) -> None:
        self._clock = clock
        self._observer = observer
        self._lock = Lock()
        self._begun = clock.monotonic()
        self._told = self._begun - REPORT_SECONDS
        self._samples = deque([(self._begun, 0)])
        self._total = self._done = self._stored = 0

    def expect(self, total_bytes: int) -> None:
        """Add to what is to be done."""
        with self._lock:
            self._total += total_bytes

    def add(self, done_bytes: int, stored_bytes: int = 0) -> None:
        """Report work done since the last call; any thread."""
        with self._lock:
            self._done += done_bytes
            self._stored += stored_bytes
            now = self._clock.monotonic()
            if now - self._told >= REPORT_SECONDS:
                self._tell(now)

    def finish(self) -> Progress:
        """Tell the observer where it ended."""
        with self._lock:
            return self._tell(self._clock.monotonic())

    def _tell(self, now: float) -> Progress:
        self._told = now
        progress = self._look(now)
        if self._observer is not None:
            self._observer(progress)
        return progress

    def _look(self, now: float) -> Progress:
        self._samples.append((now, self._done))
        # One sample older than the window stays, so that the window is always covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = (self._done - before) / (now - since) if now > since else 0.0
        # A source may grow between the counting and the copying.
        total = max(self._total, self._done)
        left = (total - self._done) / rate if rate > 0 else (0.0 if total == self._done else None)
        return Progress(self._done, total, self._stored, now - self._begun, rate, left)
