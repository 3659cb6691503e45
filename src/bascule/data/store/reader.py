"""Read a recovery point: any disk, any range, each byte authenticated against its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby

from bascule.blocks.extents import Extent, align, merge, split
from bascule.model.errors import Damaged, Missing

from .access import Access, kind_of, load_stack
from .format.container import FrameRef, IndexedFrame, Source, open_frame
from .format.entries import DiskEntry, Entry
from .format.layers import UNREADABLE, PageCache, Pages, TolerantPages, visible
from .format.opener import Opener, Sealed
from .format.runs import BLOCK, Run, differing
from .format.sealing import tag_of
from .pins import Lease, NoLease
from .points import DiskKey, PointInfo

_WINDOW_BLOCKS = 16384
_BATCH_WINDOW = 65536 * BLOCK
_BATCH_BYTES = 4 << 20
_BATCH_GAP = 128 << 10
_PAGE = 4096
# Digests of as many objects are kept; 64 objects of small frames take about 10 MiB.
_INDICES = 64


class Batch:
    """Runs whose frames lie close together in one object, fetched with one read."""

    def __init__(self, disk: DiskReader, source: Source, runs: list[Run]) -> None:
        self._disk = disk
        self._source = source
        self.runs = runs

    @property
    def plain_bytes(self) -> int:
        """Return how many bytes of the disk the batch holds."""
        return sum(run.span for run in self.runs) * BLOCK

    def frames(self, scratch: memoryview | None = None) -> Iterator[tuple[int, memoryview]]:
        """Yield disk offset and plain bytes of every run, in disk order.

        ``scratch`` is a buffer to read sealed bytes into; it must not be used elsewhere meanwhile.
        """
        fetched = self._fetch(scratch)
        if fetched is None:
            yield from self._one_by_one()
            return
        for first, rest, sealed in fetched:
            plain = self._disk.open(first, sealed)
            for run in (first, *rest):
                yield self._disk.part(run, plain)

    def pour(self, opener: Opener, claim: Callable[[int, int], memoryview]) -> None:
        """Open every run, in order of place, into memory that ``claim(disk offset, length)`` gives for it."""
        fetched = self._fetch(opener.scratch)
        if fetched is None:
            for offset, data in self._one_by_one():
                claim(offset, len(data))[:] = data
            return
        for first, rest, sealed in fetched:
            self._disk.pour(opener, [first, *rest], sealed, claim)

    def _fetch(self, scratch: memoryview | None) -> Iterator[tuple[Run, list[Run], memoryview]] | None:
        """Read all sealed frames, each with the runs that lie in it; None if their object was compacted."""
        frames = [run.frame for run in self.runs if run.frame is not None]
        # Whole pages, so that a store on a disk may read around the page cache.
        start = min(frame.at for frame in frames) // _PAGE * _PAGE
        end = max(frame.at + frame.sealed for frame in frames)
        try:
            sealed = self._disk.fetch(self._source.name, start, end, scratch)
        except Missing:
            return None
        return self._by_frame(sealed, start)

    def _by_frame(self, sealed: memoryview, start: int) -> Iterator[tuple[Run, list[Run], memoryview]]:
        for frame, runs in groupby(self.runs, key=lambda run: run.frame):
            assert frame is not None  # batches hold no holes
            first, *rest = runs
            at = frame.at - start
            yield first, rest, sealed[at : at + frame.sealed]

    def _one_by_one(self) -> Iterator[tuple[int, memoryview]]:
        for run in self.runs:
            _, plain = self._disk.frame(run)
            yield self._disk.part(run, plain)


class DiskReader:
    """One disk at one point. Thread-safe; keeps no data, only pages of its map."""

    def __init__(
        self,
        access: Access,
        entry: Entry,
        key: DiskKey,
        disk: DiskEntry,
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        self._touch = touch
        self._access = access
        self._tag = tag = tag_of(*key)
        self._where = f"disk {key.disk} of machine {key.machine} at point {entry.group}/{entry.number}"
        self.key = key
        self.size_bytes = disk.size_bytes
        self._stack = load_stack(access, key.machine, disk)
        self._digest = access.sealer.digester()
        # No way back to the reader, so that its pages go when it does and not when garbage is collected.
        self._pages = PageCache(lambda frame, first: access.frame(frame, tag, first))
        self._indices: dict[str, list[bytes | None]] = {}

    def runs(self, offset: int = 0, length: int | None = None) -> Iterator[Run]:
        """Yield what every block of a range holds, in disk order; holes are runs without a frame."""
        return self._runs(self._pages, offset, length)

    def _runs(self, pages: Pages, offset: int, length: int | None) -> Iterator[Run]:
        end = self.size_bytes if length is None else min(offset + length, self.size_bytes)
        first, last = offset // BLOCK, -(-end // BLOCK)
        while first < last:
            stop = min((first // _WINDOW_BLOCKS + 1) * _WINDOW_BLOCKS, last)
            self._touch()
            with self._naming_the_disk(first, stop):
                found = visible(pages, self._stack, first, stop)
            yield from found
            first = stop

    def unreadable(self, is_bad: Callable[[Run], bool]) -> Iterator[Extent]:
        """Yield the ranges whose map cannot be read, or whose runs of data are bad."""
        pages = TolerantPages(self._pages, lambda _frame, _error: None)
        return merge(
            Extent(run.block * BLOCK, self._length(run))
            for run in self._runs(pages, 0, None)
            if run.frame is not None and (run.frame == UNREADABLE or is_bad(run))
        )

    def _naming_the_disk(self, first: int, end: int) -> _Naming:
        return _Naming(self._where, first * BLOCK, end * BLOCK)

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges in disk order, each with whether it holds data; together they cover what was asked."""
        end = self.size_bytes if length is None else min(offset + length, self.size_bytes)
        at = offset
        for data, runs in groupby(self.runs(offset, length), key=lambda run: run.frame is not None):
            for run in runs:
                stop = run.end
            stop = min(stop * BLOCK, end)
            yield Extent(at, stop - at), data
            at = stop

    def changed_since(self, before: DiskReader) -> Iterator[Extent]:
        """Yield what this disk does not share with an earlier point of its history; told by the maps alone.

        What was written anew with equal bytes counts as changed.
        """
        return merge(
            Extent(first * BLOCK, min(end * BLOCK, self.size_bytes) - first * BLOCK)
            for first, end in differing(before.runs(), self.runs())
        )

    def frame(self, run: Run) -> tuple[int, memoryview]:
        """Return disk offset and plain bytes of the whole frame that ``run`` lies in."""
        if run.frame is None:
            return run.block * BLOCK, memoryview(bytes(self._length(run)))
        with self._naming_the_disk(run.block, run.end):
            return run.frame_offset, memoryview(self._access.frame(run.frame, self._tag, run.frame_offset))

    def frame_with(self, opener: Opener, run: Run) -> memoryview:
        """Return what ``frame`` returns, without its offset, read and opened in memory that is used again."""
        frame = run.frame
        if frame is None:
            return self.frame(run)[1]
        source, start = frame.source, (run.block - run.skip) * BLOCK
        data = opener.sealed(frame.sealed)
        try:
            count = self._access.objects.read(source.name, frame.at, data)
        except Missing:
            # Its object was compacted meanwhile; the slow way follows the frame.
            return self.frame(run)[1]
        with self._naming_the_disk(run.block, run.block + run.span):
            if count < frame.sealed:
                raise Damaged(
                    f"object {source.name} is cut short: it ends before byte {frame.at + frame.sealed}"
                )
            sealed = Sealed(kind_of(source), frame, self._tag, start, data)
            return memoryview(opener.fresh(self._access.sealer, sealed))

    def part(self, run: Run, plain: bytes | memoryview) -> tuple[int, memoryview]:
        """Return disk offset and bytes of the blocks of ``run``, given its frame's plain bytes.

        A block that the disk outgrew since it was written is followed by zeroes up to its end.
        """
        start, length = run.skip * BLOCK, self._length(run)
        found = memoryview(plain)[start : start + length]
        if len(found) < length:
            found = memoryview(bytes(found) + bytes(length - len(found)))
        return run.block * BLOCK, found

    def _length(self, run: Run) -> int:
        return min(run.end * BLOCK, self.size_bytes) - run.block * BLOCK

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely from ``offset``."""
        if offset < 0 or offset + len(buffer) > self.size_bytes:
            raise ValueError(f"bytes {offset} to {offset + len(buffer)} are not all on {self._where}")
        end = offset + len(buffer)
        for frame, runs in groupby(self.runs(offset, len(buffer)), key=lambda run: run.frame):
            plain = b""
            for run in runs:
                low, high = max(run.block * BLOCK, offset), min(run.end * BLOCK, end)
                target = buffer[low - offset : high - offset]
                if frame is None:
                    target[:] = bytes(len(target))
                    continue
                plain = plain or bytes(self.frame(run)[1])
                start, found = self.part(run, plain)
                target[:] = found[low - start : high - start]

    def digests(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bytes | None]]:
        """Yield extents with the keyed digest of their bytes, None where they must be read to know it.

        A hole has the digest ``b""``. Digests come out of indices; no data is read.
        """
        for run in self.runs(offset, length):
            size = self._length(run)
            digest: bytes | None = b""
            if run.frame is not None:
                is_whole = run.skip == 0 and run.frame.plain == size
                digest = self._digest_of(run.frame) if is_whole else None
            yield Extent(run.block * BLOCK, size), digest

    def _digest_of(self, frame: FrameRef) -> bytes | None:
        name = frame.source.name
        digests = self._indices.get(name)
        if digests is None:
            digests = self._index(frame)
            # Two threads may read an index twice; neither gets a wrong one.
            if len(self._indices) >= _INDICES:
                self._indices.clear()
            self._indices[name] = digests
        return digests[frame.frame] if frame.frame < len(digests) else None

    def _index(self, frame: FrameRef) -> list[bytes | None]:
        try:
            opened = self._access.index(frame.source.name, kind_of(frame.source))
        except Missing:
            return self._moved_index(frame.source.name)
        return [line.digest for line in opened.frames]

    def _moved_index(self, name: str) -> list[bytes | None]:
        """Return the digests of a compacted object's frames, None for those that are gone."""
        moved = self._access.moved_table(name) or {}
        digests: list[bytes | None] = [None] * (max(moved, default=-1) + 1)
        indices: dict[Source, tuple[IndexedFrame, ...]] = {}
        for number, now in moved.items():
            # What nobody names any more may be gone; reading it would tell, and nobody will.
            with suppress(Missing):
                place = self._access.locate(now)
                if place.source not in indices:
                    opened = self._access.index(place.source.name, kind_of(place.source))
                    indices[place.source] = opened.frames
                digests[number] = indices[place.source][place.frame].digest
        return digests

    def digest(self, data: bytes | memoryview) -> bytes:
        """Return the keyed digest of bytes at hand, to be compared with those of ``digests``."""
        return self._digest(data)

    def batches(self, within: Iterable[Extent] | None = None) -> Iterator[Batch]:
        """Yield the disk's data, all or that ``within``, in batches of frames that lie together.

        A batch is of one object. They come in the order of the disk's gigabytes, not of its bytes;
        memory is bounded by a window of the disk. ``within`` is in disk order.
        """
        whole = (Extent(0, self.size_bytes),)
        wanted = split(align(whole if within is None else within, BLOCK, self.size_bytes), _BATCH_WINDOW)
        for _, pieces in groupby(wanted, key=lambda piece: piece.offset // _BATCH_WINDOW):
            by_source: dict[Source, list[Run]] = defaultdict(list)
            for piece in pieces:
                for run in self.runs(*piece):
                    if run.frame is not None:
                        by_source[run.frame.source].append(run)
            for source, runs in by_source.items():
                runs.sort(key=_place)
                yield from (Batch(self, source, part) for part in _near(runs))

    def fetch(self, name: str, start: int, end: int, scratch: memoryview | None) -> memoryview:
        """Read a stretch of an object, into ``scratch`` if it is large enough."""
        pages = -(-(end - start) // _PAGE) * _PAGE
        target = memoryview(bytearray(pages)) if scratch is None or len(scratch) < pages else scratch[:pages]
        if self._access.objects.read(name, start, target) < end - start:
            raise Damaged(f"object {name} is cut short: it ends before byte {end}")
        return target

    def pour(
        self, opener: Opener, runs: list[Run], data: memoryview, claim: Callable[[int, int], memoryview]
    ) -> None:
        """Open one sealed frame and put its runs where ``claim`` says; a whole frame goes there directly."""
        first, frame = runs[0], runs[0].frame
        assert frame is not None  # only runs of data have sealed bytes
        is_whole = first.skip == 0 and frame.plain == self._length(first)
        place = claim(first.block * BLOCK, frame.plain) if is_whole else opener.plain(frame.plain)
        with self._naming_the_disk(first.block, first.end):
            sealed = Sealed(kind_of(frame.source), frame, self._tag, first.frame_offset, data)
            opener.open(self._access.sealer, sealed, place)
        if not is_whole:
            for run in runs:
                offset, found = self.part(run, place)
                claim(offset, len(found))[:] = found

    def open(self, run: Run, sealed: memoryview) -> bytes:
        """Open the sealed bytes of a run's frame."""
        assert run.frame is not None  # only runs of data have sealed bytes
        with self._naming_the_disk(run.block, run.end):
            kind = kind_of(run.frame.source)
            return open_frame(self._access.sealer, kind, run.frame, (self._tag, run.frame_offset), sealed)


def _place(run: Run) -> tuple[int, int]:
    return (run.frame.at, run.block) if run.frame is not None else (0, run.block)


def _near(runs: list[Run]) -> Iterator[list[Run]]:
    """Group runs of one object, in order of place, so that one read fetches a group and little else."""
    group: list[Run] = []
    start = end = 0
    for run in runs:
        assert run.frame is not None  # callers sorted holes out
        at, stop = run.frame.at, run.frame.at + run.frame.sealed
        if group and (at - end > _BATCH_GAP or stop - start > _BATCH_BYTES):
            yield group
            group = []
        if not group:
            start = at
        group.append(run)
        end = max(end, stop) if len(group) > 1 else stop
    if group:
        yield group


class _Naming:
    """Adds to an error which disk, point and range it hurts."""

    def __init__(self, where: str, low: int, high: int) -> None:
        self._text = f"bytes {low} to {high} of {where}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Damaged):
            raise Damaged(f"{self._text} cannot be read: {error.message}") from error


class PointReader:
    """A point, pinned: nothing it needs is removed until ``close``."""

    def __init__(self, access: Access, entry: Entry, lease: Lease | NoLease) -> None:
        self._access = access
        self._entry = entry
        self._lease = lease
        self._closed = False
        self.info = PointInfo.of(entry)

    @property
    def pin_id(self) -> str:
        """Return the id of the pin that holds the point; a durable one is released by it."""
        return self._lease.pin_id

    def disk(self, key: DiskKey) -> DiskReader:
        """Open one disk of the point."""
        for machine in self._entry.machines:
            for disk in machine.disks:
                if (machine.id, disk.id) == key:
                    return DiskReader(self._access, self._entry, DiskKey(*key), disk, self._lease.touch)
        at = f"{self._entry.group}/{self._entry.number}"
        raise Missing(
            f"point {at} has no disk {key[1]} of machine {key[0]}",
            cure="it has " + ", ".join(f"{m.id}/{d.id}" for m in self._entry.machines for d in m.disks),
        )

    def disks(self) -> Iterator[DiskKey]:
        """Yield the disks of the point."""
        for machine in self._entry.machines:
            for disk in machine.disks:
                yield DiskKey(machine.id, disk.id)

    def close(self) -> None:
        """Let go of the point; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._lease.release()

    def __enter__(self) -> PointReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
