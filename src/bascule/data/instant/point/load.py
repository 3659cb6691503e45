"""What serving costs just now: how far the store is, and how many read at the same time.

Both decide who decodes. A frame that is here in less than the time two threads need to
hand work to each other is best fetched by the thread that was asked for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count how long the block takes; one that raises makes the store far."""
        began = self._now()
        try:
            yield
        except BaseException:
            self._seconds = None
            raise
        spent, before = self._now() - began, self._seconds
        self._seconds = spent if before is None else before + (spent - before) * _WEIGHT


class Readers:
    """The threads that decoded for their own readers a moment ago. Thread-safe."""

    def __init__(self, cores: int | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        self._now = now
        self._seen: OrderedDict[int, float] = OrderedDict()
        self._guard = threading.Lock()

    def note(self) -> None:
        """Note that this thread decodes for its reader now."""
        with self._guard:
            self._seen[threading.get_ident()] = self._now()
            self._seen.move_to_end(threading.get_ident())
            if len(self._seen) > self._cores:
                self._seen.popitem(last=False)

    @property
    def are_enough(self) -> bool:
        """Tell whether they keep every core busy."""
        with self._guard:
            longest_ago = next(iter(self._seen.values()), 0.0)
            return len(self._seen) >= self._cores and self._now() - longest_ago <= _LATELY_SECONDS
