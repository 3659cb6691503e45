"""The point's map around recent reads, in the form a read wants: block to run, a few mebibytes at a time.

Asking the store's map costs tens of microseconds, most of them the same for one block and for
sixty-four. So it is asked for windows of 4 MiB, and those around the last 8 GiB that were read are kept.
A frame that lies across the edge of two windows has a run in each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from bascule.data.store import BLOCK, Run

_SHIFT = 6
SPAN = 1 << _SHIFT
_KEPT = 2048


class Mapped(Protocol):
    """The part of a reader that knows which run holds a block."""

    def runs(self, offset: int = 0, length: int | None = None) -> Iterator[Run]: ...


Key = tuple[str, int]
"""A frame: the name of its object, and its number there. Hashed at each miss, so it is no more than that."""


class Found(NamedTuple):
    """A run of data, its frame, and all runs of the window that show parts of that frame."""

    run: Run
    key: Key
    siblings: list[Run]


class Windows:
    """Windows of one disk. Thread-safe; a window that is not here waits for the store."""

    def __init__(self, reader: Mapped) -> None:
        self._reader = reader
        self._held: OrderedDict[int, list[Found | None]] = OrderedDict()
        self._guard = threading.Lock()

    def at(self, block: int) -> Found | None:
        """Return the run that holds a block, None for a hole."""
        window = self._held.get(block >> _SHIFT)
        if window is None:
            window = self._load(block >> _SHIFT)
        return window[block & SPAN - 1]

    def _load(self, number: int) -> list[Found | None]:
        window = _spread(self._reader.runs(number * SPAN * BLOCK, SPAN * BLOCK))
        with self._guard:
            self._held[number] = window
            if len(self._held) > _KEPT:
                self._held.popitem(last=False)
        return window


def _spread(runs: Iterator[Run]) -> list[Found | None]:
    """Return what each block of a window holds."""
    window: list[Found | None] = [None] * SPAN
    families: dict[Key, list[Run]] = {}
    for run in runs:
        if run.frame is not None:
            key = (run.frame.source.name, run.frame.frame)
            family = families.setdefault(key, [])
            family.append(run)
            first = run.block & SPAN - 1
            window[first : first + run.span] = [Found(run, key, family)] * run.span
    return window
