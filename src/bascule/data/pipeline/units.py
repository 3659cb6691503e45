"""What one worker takes at once: a few MiB of one disk to be read, or ranges that are zero unread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.cut import BLOCK, UNIT, batches
from bascule.blocks.cut import units as pieces
from bascule.blocks.extents import Extent, align, complement, subtract, total
from bascule.data.store import DiskKey
from bascule.ports.disks import DiskSource

from .durable import NOTHING, STRETCH, Durable, Leftovers
from .flow.buffers import Buffer

_HOLES = 64
_SHARES = 16
_SMALLEST = 512 << 10
_OF_A_DELTA = 2
# Of a source that is near: what a read leaves in the core's own cache is there still when it is hashed and
# compressed. Against 4 MiB that others read ahead, a copy takes a tenth less processor time.
_NEAR = 1 << 20


@dataclass(frozen=True, slots=True)
class Task:
    """One disk to send.

    ``is_known``: the newest point has this disk, so zeroes must erase what it may
    hold. ``settled`` blocks need not be looked at.
    """

    key: DiskKey
    source: DiskSource
    is_known: bool
    leftovers: Leftovers
    settled: Bitmap | None = None

    def reads(self) -> Iterator[Extent]:
        """Yield whole blocks to be read, in disk order."""
        return self._unsettled(self._blocks())

    def holes(self) -> Iterator[Extent]:
        """Yield what a whole disk leaves out, all zero; outside the extents of a delta nothing changed."""
        if self.source.is_delta or not self.is_known:
            return iter(())
        return self._unsettled(complement(self._blocks(), self.source.size_bytes))

    def _blocks(self) -> Iterator[Extent]:
        return align(self.source.extents(), BLOCK, self.source.size_bytes)

    def _unsettled(self, extents: Iterator[Extent]) -> Iterator[Extent]:
        return extents if self.settled is None else subtract(extents, self.settled.extents())


@dataclass(frozen=True, slots=True)
class Unit:
    """``reads`` in disk order, at most UNIT bytes together; or ``holes`` of any length."""

    task: Task
    durable: Durable
    reads: tuple[Extent, ...]
    holes: tuple[Extent, ...] = ()

    @property
    def read_bytes(self) -> int:
        return total(self.reads)

    def expect(self) -> None:
        """Have it fetched, where that can begin before it is read."""
        self.task.source.expect(self.reads)

    def fill(self, buffer: Buffer) -> None:
        """Read all of it, one range behind the other."""
        self.task.source.read_many(
            [(extent.offset, buffer.view[at : at + extent.length]) for at, extent in self.placed()]
        )

    def placed(self) -> Iterator[tuple[int, Extent]]:
        """Yield where in the buffer each range lies."""
        at = 0
        for extent in self.reads:
            yield at, extent
            at += extent.length


def readers_for(tasks: Sequence[Task], read_bytes: int) -> int:
    """Return how many threads should read ahead: no more than there are units, and none where all is near.

    Of a delta one: it has many requests under way, and a second one would have to share the
    interpreter's lock with it after each of them. 64 MiB in scattered blocks took two thirds of the time.
    """
    if all(task.source.is_near for task in tasks):
        return 0
    return 1 if all(task.source.is_delta for task in tasks) else max(1, read_bytes // UNIT)


def workers_for(tasks: Sequence[Task], most: int) -> int:
    """Return how many of ``most`` threads should compress and seal.

    Of a delta two, which are as fast as its reader: a third takes a twentieth more processor time, for
    all of them wait for the interpreter's lock after each block.
    """
    return min(most, _OF_A_DELTA) if all(task.source.is_delta for task in tasks) else most


def plan(tasks: Sequence[Task], read_bytes: int) -> Iterator[Unit]:
    """Cut every disk into units, disk by disk and each in disk order.

    Of a small delta they are smaller, so that reading it and sealing it overlap.
    """
    for task in tasks:
        unit = _NEAR if task.source.is_near else UNIT
        longest = min(max(read_bytes // _SHARES, _SMALLEST), unit)
        holes = task.holes()
        while some := tuple(islice(holes, _HOLES)):
            yield Unit(task, NOTHING, (), some)
        yield from _readable(task, unit, longest)
        task.leftovers.release()


def _readable(task: Task, unit: int, longest: int) -> Iterator[Unit]:
    """Group what is to be read, never across a stretch, so that a unit needs durable frames of one only."""
    every = pieces(task.reads(), task.source.size_bytes, unit)
    for _, near in groupby(every, lambda piece: piece.offset // STRETCH):
        for reads in batches(near, longest):
            yield Unit(task, task.leftovers.near(reads[0].offset), reads)
