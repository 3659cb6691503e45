"""Memory that units are read into, kept from one transfer to the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bascule.blocks.cut import UNIT
from bascule.blocks.memory import aligned
from bascule.blocks.zeroes import ZeroTest


class Buffer:
    """Page-aligned memory for one unit, used again and again."""

    __slots__ = ("view", "zeroes")

    def __init__(self) -> None:
        self.view = aligned(UNIT)
        self.zeroes = ZeroTest(self.view)


class Buffers:
    """Lends buffers. Thread-safe.

    Memory that is new comes as pages to be cleared while every other thread waits: of a delta of
    5 MiB that was a third of the time.
    """

    def __init__(self) -> None:
        self._idle: list[Buffer] = []
        self._guard = threading.Lock()

    @contextmanager
    def lent(self, count: int) -> Iterator[list[Buffer]]:
        """Lend ``count`` buffers for the block; nobody uses them after it."""
        with self._guard:
            found = [self._idle.pop() if self._idle else Buffer() for _ in range(count)]
        try:
            yield found
        finally:
            with self._guard:
                self._idle.extend(found)
