"""Where two points hold different frames of a disk: told by their maps, no data is read."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.blocks.extents import Extent, merge

from .format.runs import BLOCK, Run
from .reader import DiskReader


def changed_between(before: DiskReader, after: DiskReader) -> Iterator[Extent]:
    """Yield the ranges of ``after``, in whole blocks, that it does not share with ``before``.

    What is written anew with equal bytes counts as changed. The two must be of one history:
    a point and a later one, of its group or of a branch of it.
    """
    return merge(
        Extent(first * BLOCK, min(end * BLOCK, after.size_bytes) - first * BLOCK)
        for first, end in _blocks(before, after)
    )


def _blocks(before: DiskReader, after: DiskReader) -> Iterator[tuple[int, int]]:
    older, old = before.runs(), None
    for new in after.runs():
        at = new.block
        while at < new.end:
            while old is None or old.end <= at:
                if (old := next(older, None)) is None:
                    yield at, new.end
                    return
            end = min(old.end, new.end)
            if not _is_same(old.clip(at, end), new.clip(at, end)):
                yield at, end
            at = end


def _is_same(old: Run, new: Run) -> bool:
    if old.frame is None or new.frame is None:
        return old.frame is new.frame
    return (old.frame, old.skip) == (new.frame, new.skip)
