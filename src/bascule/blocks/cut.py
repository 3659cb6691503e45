"""Cut a disk into what one worker reads at once (units) and what is sealed at once (frames).

The map of a disk works in blocks. Bulk copies travel in frames that never cross a
multiple of 256 KiB of the disk, so that a later reader finds its neighbours in the
same frame; deltas travel in frames of just the changed blocks, which may start at
any block. The last block of a disk may be short, and so may the frame that ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .extents import Extent, align, merge, split

BLOCK = 64 << 10
FRAME = 256 << 10
FRAME_LIMIT = 1 << 20
UNIT = 4 << 20


class Shape(NamedTuple):
    """How frames are cut: ``longest`` bytes at most, and never across a multiple of it if ``aligned``."""

    longest: int
    aligned: bool


BULK = Shape(FRAME, aligned=True)
DELTA = Shape(FRAME_LIMIT, aligned=False)


def units(extents: Iterable[Extent], size: int, unit: int = UNIT, block: int = BLOCK) -> Iterator[Extent]:
    """Widen extents to whole blocks and yield pieces that do not cross a multiple of ``unit``.

    With ``unit`` a multiple of FRAME no bulk frame is torn between two workers.
    """
    if unit % block:
        raise ValueError(f"a unit of {unit} bytes is not made of whole blocks of {block}")
    return split(align(extents, block, size), unit)


def batches(pieces: Iterable[Extent], longest: int = UNIT, most: int = 64) -> Iterator[tuple[Extent, ...]]:
    """Group pieces in disk order: at most ``longest`` bytes (or one piece) and ``most`` pieces a batch.

    A delta of scattered blocks is otherwise one short read per turn of a worker.
    """
    batch: list[Extent] = []
    held = 0
    for piece in pieces:
        if batch and (held + piece.length > longest or len(batch) >= most):
            yield tuple(batch)
            batch, held = [], 0
        batch.append(piece)
        held += piece.length
    if batch:
        yield tuple(batch)


def frames(runs: Iterable[Extent], shape: Shape = BULK) -> Iterator[Extent]:
    """Join runs of data blocks that touch, and cut them into frames."""
    joined = merge(runs)
    return split(joined, shape.longest) if shape.aligned else _chop(joined, shape.longest)


def _chop(extents: Iterable[Extent], longest: int) -> Iterator[Extent]:
    for extent in extents:
        for offset in range(extent.offset, extent.end, longest):
            yield Extent(offset, min(longest, extent.end - offset))
