"""What serving costs just now: how far the store is, and how many read at the same time.

Both decide who decodes. A frame that is here in less than the time two threads need to
hand work to each other is best fetched by the thread that was asked for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_NEAR_SECONDS = 0.002
_WEIGHT = 0.125
_LATELY_SECONDS = 0.02


class Distance:
    """How long the store took for a frame lately. Thread-safe: a lost sample does no harm."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds: float | None = None

    @property
    def is_near(self) -> bool:
        """Tell whether a frame comes at once; False before the first one came."""
        return self._seconds is not None and self._seconds < _NEAR_SECONDS

    def measured(self, fetch: Callable[[], T]) -> T:
        """Return what ``fetch`` does, and count how long it takes; if it raises, the store is far."""
        began = self._now()
        try:
            fetched = fetch()
        except BaseException:
            self._seconds = None
            raise
        spent, before = self._now() - began, self._seconds
        self._seconds = spent if before is None else before + (spent - before) * _WEIGHT
        return fetched


class Readers:
    """The threads that decoded for their own readers a moment ago.

    Thread-safe without a lock, for each step on the table is one of the interpreter's own.
    """

    def __init__(self, cores: int | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        self._now = now
        self._seen: dict[int, float] = {}

    def note(self) -> None:
        """Note that this thread decodes for its reader now."""
        self._seen[threading.get_ident()] = self._now()

    @property
    def are_enough(self) -> bool:
        """Tell whether they keep every core busy."""
        if len(self._seen) < self._cores:
            return False
        lately = self._now() - _LATELY_SECONDS
        for thread, seen in self._seen.copy().items():
            if seen < lately:
                self._seen.pop(thread, None)
        return len(self._seen) >= self._cores
