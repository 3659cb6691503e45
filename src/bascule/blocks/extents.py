"""Ranges of a disk: every function takes and yields extents in disk order, without overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge as in_order
from typing import NamedTuple


class Extent(NamedTuple):
    """Bytes ``offset`` up to, not including, ``end``."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def merge(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Join extents that touch; those that overlap will do too, if given in order of offset."""
    start = end = -1
    for extent in extents:
        if extent.length <= 0:
            continue
        if extent.offset <= end:
            end = max(end, extent.end)
            continue
        if end > start:
            yield Extent(start, end - start)
        start, end = extent.offset, extent.end
    if end > start:
        yield Extent(start, end - start)


def align(extents: Iterable[Extent], unit: int, size: int) -> Iterator[Extent]:
    """Widen extents to whole units, join what then touches, and stop at the disk's size."""
    return merge(
        Extent(low, min(-(-extent.end // unit) * unit, size) - low)
        for extent in extents
        for low in (extent.offset // unit * unit,)
        if extent.length > 0 and low < size
    )


def split(extents: Iterable[Extent], longest: int) -> Iterator[Extent]:
    """Cut extents at multiples of ``longest`` of the disk, so that none crosses one."""
    for extent in extents:
        offset = extent.offset
        while offset < extent.end:
            stop = min((offset // longest + 1) * longest, extent.end)
            yield Extent(offset, stop - offset)
            offset = stop


def total(extents: Iterable[Extent]) -> int:
    """Return the bytes covered."""
    return sum(extent.length for extent in extents)


def complement(extents: Iterable[Extent], size: int) -> Iterator[Extent]:
    """Yield the gaps between extents, up to ``size``."""
    return subtract((Extent(0, size),), extents)


def intersect(left: Iterable[Extent], right: Iterable[Extent]) -> Iterator[Extent]:
    """Yield what both cover."""
    ours, theirs = iter(left), iter(right)
    a, b = next(ours, None), next(theirs, None)
    while a is not None and b is not None:
        low, high = max(a.offset, b.offset), min(a.end, b.end)
        if low < high:
            yield Extent(low, high - low)
        if a.end <= b.end:
            a = next(ours, None)
        else:
            b = next(theirs, None)


def subtract(left: Iterable[Extent], right: Iterable[Extent]) -> Iterator[Extent]:
    """Yield what ``left`` covers and ``right`` does not."""
    theirs = (extent for extent in right if extent.length > 0)
    hole = next(theirs, None)
    for extent in left:
        at = extent.offset
        while hole is not None and hole.offset < extent.end:
            if hole.offset > at:
                yield Extent(at, hole.offset - at)
            at = max(at, hole.end)
            if hole.end > extent.end:
                break
            hole = next(theirs, None)
        if at < extent.end:
            yield Extent(at, extent.end - at)


def union(left: Iterable[Extent], right: Iterable[Extent]) -> Iterator[Extent]:
    """Yield what either covers, joined where it touches."""
    return merge(in_order(left, right))
