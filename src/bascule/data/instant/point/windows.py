"""The point's map around recent reads, in the form a read wants: block to run, a few mebibytes at a time.

Asking the store's map costs tens of microseconds, most of them the same for one block and for
sixty-four. So it is asked for windows of 4 MiB, and those around the last 8 GiB that were read are kept.
A frame that lies across the edge of two windows has a run in each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Protocol

from bascule.data.store import BLOCK, Run

_SHIFT = 6
SPAN = 1 << _SHIFT
_KEPT = 2048


class Mapped(Protocol):
    """The part of a reader that knows which run holds a block."""

    def runs(self, offset: int = 0, length: int | None = None) -> Iterator[Run]: ...


class Window:
    """Runs of data in 64 blocks; holes are left out."""

    __slots__ = ("_by_frame", "_owners")

    def __init__(self, runs: Iterator[Run]) -> None:
        self._owners: list[Run | None] = [None] * SPAN
        self._by_frame: dict[Hashable, list[Run]] = {}
        for run in runs:
            if run.frame is not None:
                first = run.block & SPAN - 1
                self._owners[first : first + run.span] = [run] * run.span
                self._by_frame.setdefault(run.frame, []).append(run)

    def run_at(self, block: int) -> Run | None:
        """Return the run that holds a block, None for a hole."""
        return self._owners[block & SPAN - 1]

    def siblings(self, run: Run) -> list[Run]:
        """Return all runs that show parts of the same frame, ``run`` among them."""
        return self._by_frame[run.frame]


class Windows:
    """Windows of one disk. Thread-safe; a window that is not here waits for the store."""

    def __init__(self, reader: Mapped) -> None:
        self._reader = reader
        self._held: OrderedDict[int, Window] = OrderedDict()
        self._guard = threading.Lock()

    def around(self, block: int) -> Window:
        """Return the window that a block lies in."""
        number = block >> _SHIFT
        window = self._held.get(number)
        if window is None:
            window = Window(self._reader.runs(number * SPAN * BLOCK, SPAN * BLOCK))
            with self._guard:
                self._held[number] = window
                if len(self._held) > _KEPT:
                    self._held.popitem(last=False)
        return window
