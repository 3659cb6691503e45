"""The real clock and the real randomness. Nothing else in the product asks the system for either."""

from __future__ import annotations

import os
import time


class SystemClock:
    """This machine's time."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class SystemIds:
    """The kernel's randomness, fit for keys."""

    def random(self, count: int) -> bytes:
        """Return ``count`` unpredictable bytes."""
        return os.urandom(count)
