"""Where a point holds data and where only zeroes, looked up by bisection, a gigabyte at a time.

Asking the store's map takes a microsecond for a range in memory and a round trip for one that is not; a guest
asks for every request. So each gibibyte of the disk is asked for once and kept as
a sorted array of edges: data begins at even places and ends at odd ones.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from bascule.blocks.extents import Extent

_SHIFT = 30
_SPAN = 1 << _SHIFT
# 8 bytes each. A disk has 16 million blocks a tebibyte; one that is full of holes keeps part of it in memory.
_EDGES_MAX = 1 << 20


class Mapped(Protocol):
    """The part of a reader that knows where data is."""

    size_bytes: int

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bool]]: ...


class Allocation:
    """Data and holes of one disk. Thread-safe; only ``load`` waits for the store."""

    def __init__(self, reader: Mapped) -> None:
        self._reader = reader
        self._spans: OrderedDict[int, array[int]] = OrderedDict()
        self._edges = 0
        self._guard = threading.Lock()

    def hole_end(self, offset: int) -> int | None:
        """Return where the hole around ``offset`` ends, 0 if there is data, None if that is not known yet."""
        number = offset >> _SHIFT
        edges = self._spans.get(number)
        if edges is None:
            return None
        at = bisect_right(edges, offset)
        if at & 1:
            return 0
        return edges[at] if at < len(edges) else min((number + 1) << _SHIFT, self._reader.size_bytes)

    def knows(self, offset: int) -> bool:
        """Tell whether ``hole_end`` and ``within`` have an answer at ``offset``."""
        return offset >> _SHIFT in self._spans

    def load(self, offset: int) -> None:
        """Ask the store about the gibibyte around ``offset``."""
        number = offset >> _SHIFT
        # All who wait for one span wait for one question, which can take long for a disk full of holes.
        with self._guard:
            if number in self._spans:
                return
            start = number << _SHIFT
            edges: array[int] = array("Q")
            for extent, data in self._reader.extents(start, min(_SPAN, self._reader.size_bytes - start)):
                if data:
                    edges.extend((extent.offset, extent.end))
            self._spans[number] = edges
            self._edges += len(edges)
            while self._edges > _EDGES_MAX and len(self._spans) > 1:
                _, dropped = self._spans.popitem(last=False)
                self._edges -= len(dropped)

    def within(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges in order, each with whether it holds data, up to the first that is not known."""
        end = offset + length
        while offset < end:
            edges = self._spans.get(offset >> _SHIFT)
            if edges is None:
                return
            stop = min(((offset >> _SHIFT) + 1) << _SHIFT, end)
            at = bisect_right(edges, offset)
            while offset < stop:
                edge = min(edges[at], stop) if at < len(edges) else stop
                if edge > offset:
                    yield Extent(offset, edge - offset), bool(at & 1)
                offset = edge
                at += 1
