"""A point's disk that becomes local: blocks that are here come from a sparse file, the others from the point.

The file ``base`` is a raw image; once it is complete it needs neither store nor
journal to be read. The journal ``progress`` says which blocks of it count. Order:
bytes into the file, sync it, then a record; so a record always speaks of bytes that
are durable, and a crash costs at most what was written since the last one. Blocks
never change, so writing one again is harmless, and nothing here depends on which of
two records survived.

Blocks that hold only zeroes at the point are never written: they are holes of the
file from the start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.extents import Extent
from bascule.data.store import BLOCK
from bascule.model.errors import Damaged, Unavailable

from .base import Base, Part
from .local.folder import File, Folder
from .local.journal import Journal, boot_id

BASE = "base"
PROGRESS = "progress"
_PURPOSE = b"hydrate"
_DONE, _COMPLETE = 1, 2


class LocalBase:
    """A base over ``point``, which may be None once ``is_complete``. Thread-safe."""

    def __init__(self, folder: Folder, point: Base | None, size_bytes: int) -> None:
        self._folder = folder
        self._point = point
        self._size = size_bytes
        self._guard = threading.Lock()
        self._file: File = folder.open(BASE)
        self._done = Bitmap(size_bytes, BLOCK)
        self.is_complete = False
        self._journal = self._open_journal()
        if point is None and not self.is_complete:
            raise Unavailable(f"{folder.name} holds only a part of the disk", cure="open it with its point")

    def _open_journal(self) -> Journal:
        about = (_PURPOSE, self._size)
        if not self._folder.exists(PROGRESS):
            self._file.resize(0)
            self._file.resize(self._size)
            self._file.sync()
            return Journal.create(self._folder, PROGRESS, about, self._done.to_bytes(), boot_id())
        if self._file.size() != self._size:
            raise Damaged(f"{self._folder.name}/{BASE} has another size than its disk", cure="throw it away")
        journal, found = Journal.open(self._folder, PROGRESS, about, boot_id())
        try:
            self._done = Bitmap.from_bytes(found.snapshot)
        except ValueError as error:
            raise Damaged(f"{self._folder.name}/{PROGRESS}: {error}") from error
        for _, kind, first, count in found.records:
            self.is_complete |= kind == _COMPLETE
            self._done.mark(Extent(first * BLOCK, count * BLOCK))
        return journal

    @property
    def size_bytes(self) -> int:
        """Return the disk's size."""
        return self._size

    @property
    def done_bytes(self) -> int:
        """Return how many bytes of the disk are here, holes not counted."""
        with self._guard:
            done = self._done.count() * BLOCK
            cut_short = -self._size % BLOCK
            return done - cut_short if cut_short and self._done.is_dirty(self._size - 1) else done

    def holds(self, extent: Extent) -> bool:
        """Tell whether all blocks of a range are here."""
        return all(here for _, here in self._runs(*extent))

    def read(self, offset: int, length: int) -> list[Part]:
        """Return the bytes of a range, from here as far as they are."""
        parts: list[Part] = []
        for extent, here in self._runs(offset, length):
            if here or self._point is None:
                parts.append((extent.length, memoryview(self._file.read(*extent))))
            else:
                parts.extend(self._point.read(*extent))
        return parts

    def is_ready(self, offset: int, length: int) -> bool:
        """Tell whether ``read`` would answer at once, from memory."""
        for extent, here in self._runs(offset, length):
            if here or self._point is None:
                if not self._file.is_cached(*extent):
                    return False
            elif not self._point.is_ready(*extent):
                return False
        return True

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """Return what ``read`` would, or None where that may take long."""
        if self._point is None or any(here for _, here in self._runs(offset, length)):
            return None
        return self._point.read_soon(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it may hold data."""
        if self._point is None or self.is_complete:
            return self._file.extents(offset, length)
        return self._point.extents(offset, length)

    def _runs(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Cut a range where blocks that are here meet blocks that are not."""
        end = offset + length
        if self.is_complete:
            yield Extent(offset, length), True
            return
        while offset < end:
            here = self._done.is_dirty(offset)
            stop = min((offset // BLOCK + 1) * BLOCK, end)
            while stop < end and self._done.is_dirty(stop) == here:
                stop = min(stop + BLOCK, end)
            yield Extent(offset, stop - offset), here
            offset = stop

    def fill(self, offset: int, data: memoryview) -> None:
        """Write whole blocks; they count after ``commit``."""
        self._file.write(offset, data)

    def commit(self, filled: Iterable[Extent]) -> None:
        """Make what was filled durable, say so durably, and serve it from here."""
        filled = list(filled)
        with self._guard:
            self._file.sync()
            for extent in filled:
                self._journal.append(_DONE, extent.offset // BLOCK, -(-extent.length // BLOCK))
            self._journal.sync()
            for extent in filled:
                self._done.mark(extent)
            if self._journal.is_long:
                self._shorten()

    def _shorten(self) -> None:
        about = (_PURPOSE, self._size)
        fresh = Journal.create(self._folder, PROGRESS, about, self._done.to_bytes(), boot_id())
        self._journal.close()
        self._journal = fresh

    def complete(self) -> None:
        """Say, durably, that all data is here: the point is not needed any more."""
        with self._guard:
            self._journal.append(_COMPLETE, 0, 0)
            self._journal.sync()
            self.is_complete = True

    def close(self) -> None:
        """Release the files; safe to call twice."""
        self._file.close()
        self._journal.close()


def throw_away(folder: Folder) -> None:
    """Remove a local base. First what says that blocks count, so that no crash leaves that alone."""
    folder.remove(PROGRESS)
    folder.sync()
    folder.remove(BASE)
    folder.sync()
