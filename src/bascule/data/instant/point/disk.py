"""A disk at a recovery point, to be read at random: the base of overlays, and an export by itself.

A read that hits costs a dict lookup for each 64 KiB block and no lock. A read that
misses decodes the whole frame, shows every part of it that is part of this point, and
waits with the reader's patience when the store is away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import structlog

from bascule.blocks.extents import Extent
from bascule.data.store import Opener, Run
from bascule.model.errors import Damaged, Unavailable

from ..base import Part
from .ahead import ReadAhead
from .allocation import Allocation
from .frames import Frame, FrameCache, Piece, Table
from .patience import Patience
from .windows import Found, Windows

_SHIFT = 16
_STATUS_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """The part of the store's ``DiskReader`` that is used here. Thread-safe."""

    size_bytes: int

    def runs(self, offset: int = 0, length: int | None = None) -> Iterator[Run]: ...

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bool]]: ...

    def frame_with(self, opener: Opener, run: Run) -> memoryview: ...

    def part(self, run: Run, plain: bytes | memoryview) -> tuple[int, memoryview]: ...


class PointDisk:
    """One disk of a point. Thread-safe. ``name`` says which, in errors."""

    def __init__(self, reader: Reader, cache: FrameCache, patience: Patience, name: str) -> None:
        self._reader = reader
        self._cache = cache
        self._patience = patience
        self._name = name
        self._pieces: Table = {}
        self._allocation = Allocation(reader)
        self._windows = Windows(reader)
        self._ahead = ReadAhead(self)
        self.damaged: list[str] = []

    @property
    def size_bytes(self) -> int:
        """Return the disk's size."""
        return self._reader.size_bytes

    def is_ready(self, offset: int, length: int) -> bool:
        """Tell whether ``read`` would answer at once, from memory."""
        pieces = self._pieces
        end = offset + length
        while offset < end:
            piece = pieces.get(offset >> _SHIFT)
            if piece is not None:
                offset = piece.end
                continue
            hole_end = self._allocation.hole_end(offset)
            if not hole_end:
                return False
            offset = hole_end
        return True

    def read(self, offset: int, length: int) -> list[Part]:
        """Return the bytes of a range."""
        return self._gather(offset, length, self._miss)

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """Return the bytes of a range, or None where that may take long: if the store is far, or away."""
        if not self._cache.distance.is_near or self._patience.is_away:
            return None
        self._cache.readers.note()
        try:
            return self._gather(offset, length, self._miss_once)
        except Unavailable:
            return None  # whoever reads it patiently will say why

    def _gather(self, offset: int, length: int, miss: Callable[[int], Piece | None]) -> list[Part]:
        pieces, cache = self._pieces, self._cache
        end = offset + length
        parts: list[Part] = []
        while offset < end:
            piece = pieces.get(offset >> _SHIFT)
            if piece is None:
                hole_end = self._allocation.hole_end(offset)
                if hole_end:
                    stop = min(hole_end, end)
                    parts.append((stop - offset, None))
                    offset = stop
                    continue
                piece = miss(offset)
                if piece is None:
                    continue
            else:
                cache.hits += 1
                piece.frame.used = True
            if piece.on_hit is not None:
                _hit(piece)
            stop = min(piece.end, end)
            parts.append((stop - offset, piece.view[offset - piece.start : stop - piece.start]))
            offset = stop
        return parts

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it holds data.

        Waits a moment for the store at most: what is not known by then counts as data.
        """
        end = offset + length
        while offset < end:
            if not self._allocation.knows(offset) and not self._ask(offset):
                yield Extent(offset, end - offset), True
                return
            for extent, data in self._allocation.within(offset, end - offset):
                yield extent, data
                offset = extent.end

    def _ask(self, offset: int) -> bool:
        """Have the allocation around ``offset`` looked up in the background."""
        done = threading.Event()

        def look() -> None:
            with suppress(Unavailable, Damaged):
                self._allocation.load(offset)
            done.set()

        self._cache.later(look)
        done.wait(0 if self._patience.is_away else _STATUS_SECONDS)
        return self._allocation.knows(offset)

    def _miss(self, offset: int) -> Piece | None:
        """Decode what is at ``offset``; None if it turns out to be a hole."""
        try:
            return self._patience.insist(lambda: self._miss_once(offset))
        except Unavailable as error:
            raise Unavailable(f"byte {offset} of {self._name}: {error.message}", cure=error.cure) from error

    def _miss_once(self, offset: int) -> Piece | None:
        """Do as ``_miss``, without patience."""
        self._cache.guest_comes()
        try:
            return self._fetch(offset >> _SHIFT)
        except Damaged as error:
            self._remember(offset, error)
            raise Damaged(f"byte {offset} of {self._name}: {error.message}") from error
        finally:
            self._cache.guest_goes()

    def _remember(self, offset: int, error: Damaged) -> None:
        said = str(error)
        if said not in self.damaged and len(self.damaged) < 100:
            self.damaged.append(said)
            log.error("instant.range_damaged", disk=self._name, offset=offset, error=said)

    def _fetch(self, block: int) -> Piece | None:
        found = self._windows.at(block)
        if found is None:
            self._allocation.load(block << _SHIFT)
            return None
        self._cache.misses += 1
        piece = self._decode(found, None)
        if piece.on_hit is None:
            self._ahead.missed(found.run.block, found.run.end)
        return piece

    def _decode(self, found: Found, on_hit: Callable[[], None] | None) -> Piece:
        """Decode a run's frame, publish what this point shows of it, return the run's part."""
        run = found.run

        def show(frame: Frame) -> tuple[Table, list[Piece]]:
            pieces = [self._piece(frame, sibling) for sibling in found.siblings]
            if on_hit is not None:
                self._cache.ahead += 1
                pieces[found.siblings.index(run)].on_hit = on_hit
            return self._pieces, pieces

        frame = self._cache.frame(found.key, lambda: self._open(run), show)
        piece = self._pieces.get(run.block)
        if piece is None or piece.frame is not frame:
            # Thrown out again already, across the edge of a window, or found just before it was shown.
            piece = self._piece(frame, run)
            self._cache.publish(self._pieces, piece)
        return piece

    def _open(self, run: Run) -> memoryview:
        opener = self._cache.openers.take()
        try:
            return self._cache.distance.measured(lambda: self._reader.frame_with(opener, run))
        finally:
            self._cache.openers.give_back(opener)

    def _piece(self, frame: Frame, run: Run) -> Piece:
        start, view = self._reader.part(run, frame.plain)
        return Piece(frame, range(run.block, run.end), start, view)

    def next_run(self, block: int) -> Found | None:
        """Return the first run of data at or behind a block whose frame is not here yet, None at the end."""
        while block << _SHIFT < self.size_bytes:
            found = self._windows.at(block)
            if found is None:
                self._allocation.load(block << _SHIFT)
                hole_end = self._allocation.hole_end(block << _SHIFT) or (block + 1) << _SHIFT
                block = -(-hole_end >> _SHIFT)
            elif self._cache.holds(found.key):
                block = found.run.end
            else:
                return found
        return None

    def bring(self, found: Found, on_hit: Callable[[], None]) -> None:
        """Decode a run's frame ahead of its first read."""
        self._decode(found, on_hit)

    def is_crowded(self) -> bool:
        """Tell whether readers keep every core busy by themselves."""
        return self._cache.readers.are_enough

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the background."""
        self._cache.later(work)


def _hit(piece: Piece) -> None:
    signal, piece.on_hit = piece.on_hit, None
    if signal is not None:
        signal()
