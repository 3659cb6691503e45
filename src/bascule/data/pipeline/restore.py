"""Write a disk of a recovery point to a sink.

Order: zeroes where the sink may hold something else, then data, then one flush.
Workers fetch sealed frames that lie together in the store, open them, and write
neighbours with one call. Before the end the sink is in no state of the disk at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent, align, intersect, split, subtract, total
from bascule.blocks.memory import aligned
from bascule.data.store import Batch, DiskReader, Opener, Run
from bascule.model.errors import Cancelled, Refused
from bascule.ports.disks import DiskSink

from .flow.conduct import Conduct
from .flow.crew import Shared, together
from .journal import Journal

# The longest write; with what it fetches and opens a worker holds about 12 MiB.
WRITE_BYTES = 4 << 20
# A cancel is noticed between zeroing this much and the next.
_ZERO_BYTES = 1 << 30


@dataclass(slots=True)
class Restored:
    """What a restore did. ``settled_bytes`` of data were on the sink since an earlier try."""

    written_bytes: int = 0
    zeroed_bytes: int = 0
    settled_bytes: int = 0
    fetched_bytes: int = 0


def restore(
    reader: DiskReader,
    sink: DiskSink,
    conduct: Conduct,
    journal: Journal | None = None,
    within: Sequence[Extent] | None = None,
) -> Restored:
    """Make ``sink`` hold, durably, what the disk held at the point, or raise.

    With a journal the next try leaves out what this one settled. The sink must then
    still hold what was written to it, and not claim to be all zero. Outside whole blocks
    ``within`` it is left as it is.
    """
    _check_size(reader, sink)
    target = _Target(reader, sink, journal, within)
    workers = [_Worker(target, conduct) for _ in range(conduct.workers)]
    batches = Shared(reader.batches(within))
    try:
        cleared = _clear(target, conduct)
        together("restore", [partial(worker.run, batches) for worker in workers], batches.stop)
    except Cancelled:
        target.keep()
        raise
    sink.flush()
    target.keep()
    conduct.meter.finish()
    return _sum([cleared, *(worker.did for worker in workers)])


def _check_size(reader: DiskReader, sink: DiskSink) -> None:
    if sink.size_bytes < reader.size_bytes:
        raise Refused(
            f"the target has {sink.size_bytes} bytes, disk {reader.key.disk} has {reader.size_bytes}",
            cure="choose a target of the same size or larger",
        )


class _Target:
    """The sink, and what of it is settled."""

    def __init__(
        self, reader: DiskReader, sink: DiskSink, journal: Journal | None, within: Sequence[Extent] | None
    ) -> None:
        self.reader = reader
        self.sink = sink
        everything = (Extent(0, sink.size_bytes),)
        self.within = everything if within is None else tuple(align(within, BLOCK, reader.size_bytes))
        self._journal = journal
        self.settled: Bitmap | None = None
        if journal is not None:
            journal.open()
            self.settled = journal.settled(reader.key, reader.size_bytes)

    def is_settled(self, run: Run) -> bool:
        """Tell whether an earlier try wrote all of a run."""
        settled = self.settled
        return settled is not None and all(
            settled.is_dirty(block * BLOCK) for block in range(run.block, run.end)
        )

    def mark(self, extents: list[Extent]) -> None:
        """Note what was written; it is settled once it was flushed."""
        if self._journal is not None:
            self._journal.mark(self.reader.key, extents, self.sink.flush)

    def keep(self) -> None:
        """Save what was noted so far."""
        if self._journal is not None:
            self._journal.keep(self.sink.flush)


def _clear(target: _Target, conduct: Conduct) -> Restored:
    """Zero what the disk leaves out, and count what there is to write."""
    did, sink = Restored(), target.sink
    settled = target.settled.extents() if target.settled is not None else ()
    for hole in split(subtract(intersect(_holes(target, conduct), target.within), settled), _ZERO_BYTES):
        conduct.cancel.check()
        if not sink.is_zeroed:
            sink.zero(hole)
            did.zeroed_bytes += hole.length
        target.mark([hole])
    return did


def _holes(target: _Target, conduct: Conduct) -> Iterator[Extent]:
    size = target.reader.size_bytes
    data: list[Extent] = []
    for extent, holds_data in target.reader.extents():
        if holds_data:
            data.append(extent)
        else:
            yield extent
    conduct.meter.expect(total(intersect(data, target.within)))
    yield Extent(size, target.sink.size_bytes - size)


class _Worker:
    """Restores one batch after another. Not thread-safe: one thread, one worker."""

    def __init__(self, target: _Target, conduct: Conduct) -> None:
        self._target = target
        self._conduct = conduct
        self._opener = Opener()
        self._writes = _Gathered(target.sink)
        self.did = Restored()

    def run(self, batches: Iterator[Batch]) -> None:
        """Work until there are no more batches."""
        for batch in batches:
            if all(map(self._target.is_settled, batch.runs)):
                self.did.settled_bytes += batch.plain_bytes
            else:
                self._write(batch)
            self._conduct.meter.add(batch.plain_bytes)

    def _write(self, batch: Batch) -> None:
        fetched = sum(frame.sealed for frame in {run.frame for run in batch.runs} if frame is not None)
        self._conduct.spend(fetched)
        batch.pour(self._opener, self._writes.claim)
        self._writes.flush()
        self.did.fetched_bytes += fetched
        written = self._writes.taken()
        self.did.written_bytes += total(written)
        self._target.mark(written)


class _Gathered:
    """Neighbouring bytes on their way to the sink, in page-aligned memory."""

    def __init__(self, sink: DiskSink) -> None:
        self._sink = sink
        self._view = aligned(WRITE_BYTES)
        self._offset = 0
        self._length = 0
        self._written: list[Extent] = []

    def claim(self, offset: int, length: int) -> memoryview:
        """Return memory for bytes of the disk, good until the next claim; neighbours lie side by side."""
        if offset != self._offset + self._length or self._length + length > WRITE_BYTES:
            self.flush()
            self._offset = offset
        start, self._length = self._length, self._length + length
        return self._view[start : self._length]

    def flush(self) -> None:
        """Write what was claimed."""
        if self._length:
            self._sink.write(self._offset, self._view[: self._length])
            self._written.append(Extent(self._offset, self._length))
        self._offset, self._length = self._offset + self._length, 0

    def taken(self) -> list[Extent]:
        """Return what was written since the last call."""
        written, self._written = self._written, []
        return written


def _sum(parts: list[Restored]) -> Restored:
    return Restored(
        sum(part.written_bytes for part in parts),
        sum(part.zeroed_bytes for part in parts),
        sum(part.settled_bytes for part in parts),
        sum(part.fetched_bytes for part in parts),
    )
