"""Frames that an interrupted session left in the store: found by their place, trusted by their digest.

A dense terabyte cut short leaves millions of them, so they are held packed, 73 bytes
each, and if they are very many, for one stretch of the disk at a time.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from bascule.blocks.cut import BLOCK, Shape, frames
from bascule.blocks.extents import Extent
from bascule.data.store import DurableFrame
from bascule.data.store.format.container import FrameRef, Source

# As many as are held at once: 36 MiB, enough for 120 GiB of bulk data.
HELD = 500_000
# No unit crosses a multiple of this. Full of 64 KiB frames it holds half a million.
STRETCH = 32 << 30

_PACKED = struct.Struct("<QI32sIIIIIB")


class Durable:
    """Durable frames of one disk, in disk order. Not changed once it is sorted, so threads share it."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._sources: dict[Source, int] = {}
        self._names: list[Source] = []
        self._offsets = array("Q")
        self._order = array("I")

    def __len__(self) -> int:
        return len(self._packed) // _PACKED.size

    def add(self, found: DurableFrame) -> None:
        """Take one more frame, in any order."""
        frame = found.frame
        source = self._sources.setdefault(frame.source, len(self._sources))
        if source == len(self._names):
            self._names.append(frame.source)
        self._packed += _PACKED.pack(found.offset, found.length, found.digest, source, *frame[1:])

    def sort(self) -> None:
        """Call once, after the last ``add``."""
        offsets = array("Q", (fields[0] for fields in _PACKED.iter_unpack(self._packed)))
        self._order = array("I", sorted(range(len(offsets)), key=offsets.__getitem__))
        self._offsets = array("Q", map(offsets.__getitem__, self._order))

    def cut(self, run: Extent, shape: Shape) -> Iterator[tuple[Extent, bool]]:
        """Cut a run of data into frames, along durable frames where there are any (True)."""
        at = run.offset
        for i in range(bisect_left(self._offsets, at), len(self._offsets)):
            offset = self._offsets[i]
            if offset >= run.end:
                break
            end = offset + self._at(i)[1]
            # A short last block serves only a disk that still ends there.
            if offset < at or end > run.end or (end % BLOCK and end != run.end):
                continue
            yield from ((extent, False) for extent in frames((Extent(at, offset - at),), shape))
            yield Extent(offset, end - offset), True
            at = end
        yield from ((extent, False) for extent in frames((Extent(at, run.end - at),), shape))

    def match(self, extent: Extent, digest: bytes) -> DurableFrame | None:
        """Return a durable frame of exactly this range and content."""
        i = bisect_left(self._offsets, extent.offset)
        while i < len(self._offsets) and self._offsets[i] == extent.offset:
            offset, length, found, source, *frame = self._at(i)
            if (length, found) == (extent.length, digest):
                return DurableFrame(offset, length, found, FrameRef(self._names[source], *frame))
            i += 1
        return None

    def _at(self, i: int) -> tuple[int, int, bytes, int, int, int, int, int, int]:
        where = self._order[i] * _PACKED.size
        offset, length, digest, source, *frame = _PACKED.unpack_from(self._packed, where)
        return offset, length, digest, source, *frame


class Leftovers:
    """All durable frames of one disk; ``find`` lists them anew each time. One caller at a time."""

    def __init__(self, find: Callable[[], Iterable[DurableFrame]]) -> None:
        self._find = find
        self._stretches: Counter[int] | None = None
        self._held: dict[int, Durable] = {}
        self.bytes = 0

    def near(self, offset: int) -> Durable:
        """Return the frames of the stretch of the disk that ``offset`` lies in."""
        stretch = offset // STRETCH
        if self._stretches is None:
            self._stretches = self._survey()
        if stretch not in self._stretches:
            return NOTHING
        if stretch not in self._held:
            # Units go up the disk, so what was held before is not asked for again.
            self._held = {stretch: self._load(stretch)}
        return self._held[stretch]

    def release(self) -> None:
        """Let go of memory; ``bytes`` stays."""
        self._held = {}

    def _survey(self) -> Counter[int]:
        """Count what there is, and hold all of it if it is not too much."""
        counts: Counter[int] = Counter()
        all_of_it = Durable()
        for frame in self._find():
            self.bytes += frame.length
            counts[frame.offset // STRETCH] += 1
            if len(all_of_it) <= HELD:
                all_of_it.add(frame)
        if len(all_of_it) <= HELD:
            all_of_it.sort()
            self._held = dict.fromkeys(counts, all_of_it)
        return counts

    def _load(self, stretch: int) -> Durable:
        durable = Durable()
        for frame in self._find():
            if frame.offset // STRETCH == stretch:
                durable.add(frame)
        durable.sort()
        return durable


NOTHING = Durable()
