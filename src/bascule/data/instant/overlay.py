"""A copy-on-write overlay: what a guest writes over a recovery point, kept locally.

Promises. What a flush acknowledged survives a power cut. What
a write acknowledged survives the death of this process: a guest outlives its disk
server, and never asks again for a write it was told is done. Whatever happens, each
4 KiB sector is as of some acknowledged or interrupted write, never part of two.

Each sector has two homes: its place in the file ``first`` and its place in the file
``second``, both sparse. One of them holds what was flushed last. The journal ``map``
says which.

Order of a write: bytes into the home that was *not* flushed; a record into the
journal (neither synced); the map in memory; the answer. Writing a sector again before the next
flush goes to the same home again.

Order of a flush: (1) from here on, writes to sectors of this flush wait, since their
other home is not free yet; (2) sync the homes; (3) append COMMIT, which names the
journal's position at (1); (4) sync the journal; (5) let the waiting writes go.

So after a power cut, every record before the position in the last whole COMMIT speaks of
bytes that were synced before that COMMIT was written, and no write since has touched
them; later records are dropped. After the death of the process alone, which the
boot id in the journal tells apart, the page cache has everything and all records
count; the journal is synced before the first new write, or a COMMIT that nobody
synced might free a home that the disk still believes in.

A sync that fails leaves nothing certain: the overlay stops taking writes, leaves a
DOUBT record, and opens again, as of its last flush, only for a guest that was reset.
The same goes for a guest on another machine after a power cut of this one: it still
counts on writes that it never flushed, and must not meet a disk without them.

Zeroes and trims are records without bytes; once they are flushed, both homes of larger ones are
given back to the file system. An overlay takes at most twice what its guest wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import structlog

from bascule.blocks.extents import Extent
from bascule.model.errors import BasculeError, Damaged, Unavailable

from .base import Base, Part, joined
from .local.folder import File, Folder
from .local.journal import Contents, Journal, boot_id
from .local.sectors import CHUNK, SECTOR, Home, SectorMap, SectorSet

_MAP = "map"
_PURPOSE = b"overlay"
_FILES = {Home.FIRST: "first", Home.SECOND: "second"}
_COMMIT, _DOUBT = 16, 17
_ZERO = 4  # added to the home of a record
_PUNCH_FROM = 16  # sectors
_PUNCHES_MAX = 1024

log = structlog.get_logger(__name__)


class GuestSince(Enum):
    """What became of the guest since the overlay was closed or its process died."""

    LOCAL = "runs on this machine, so a power cut ended it too"
    REMOTE = "may have lived through a power cut of this machine"
    RESET = "was reset"


class Overlay:
    """An overlay over ``base``. Thread-safe; reads never wait for a flush."""

    def __init__(self, folder: Folder, base: Base, journal: Journal, sectors: SectorMap, boot: str) -> None:
        self._folder = folder
        self._boot = boot
        self._base = base
        self._journal = journal
        self._map = sectors
        self._files: dict[Home, File] = {home: folder.open(name) for home, name in _FILES.items()}
        self._fresh = SectorSet()
        self._closing: SectorSet | None = None
        self._touched: set[Home] = set()
        self._emptied: list[tuple[int, int]] = []
        self._change = threading.Condition()
        self._flushing = threading.Lock()
        self._failure: BasculeError | None = None
        self.fell_back = False

    @classmethod
    def open(
        cls, folder: Folder, base: Base, *, guest: GuestSince = GuestSince.LOCAL, boot: str | None = None
    ) -> Overlay:
        """Open the overlay in ``folder``, making it if there is none; Refused if another process has it.

        Raises Damaged, and changes nothing, where writes are lost that a guest may still count on.
        """
        boot = boot_id() if boot is None else boot
        folder.lock()
        about = (_PURPOSE, base.size_bytes)
        if not folder.exists(_MAP):
            for name in _FILES.values():
                _make(folder, name, -(-base.size_bytes // SECTOR) * SECTOR)
            journal = Journal.create(folder, _MAP, about, SectorMap().to_bytes(), boot)
            return cls(folder, base, journal, SectorMap(), boot)
        journal, found = Journal.open(folder, _MAP, about, boot)
        self = cls(folder, base, journal, SectorMap.from_bytes(found.snapshot), boot)
        self._recover(found, guest)
        return self

    def _recover(self, found: Contents, guest: GuestSince) -> None:
        flushed = max((record.first for record in found.records if record.kind == _COMMIT), default=0)
        changes = [record for record in found.records if record.kind < _COMMIT]
        in_doubt = any(record.kind == _DOUBT for record in found.records)
        keep_all = found.is_same_boot and not in_doubt
        if not keep_all:
            self.fell_back = any(record.at >= flushed for record in changes)
            is_gone = guest is GuestSince.RESET or (guest is GuestSince.LOCAL and not found.is_same_boot)
            if self.fell_back and not is_gone:
                raise Damaged(
                    f"the overlay in {self._folder.name} lost writes that came after its last flush",
                    cure="reset the guest, then open the overlay for a guest that was reset",
                    code="in-doubt",
                )
        for at, kind, first, count in changes:
            if at >= flushed and not keep_all:
                break
            home = Home(kind & 3)
            self._map.set(first, count, home, zero=bool(kind & _ZERO))
            if at >= flushed:
                self._fresh.add(first, count)
                self._touched.add(home)
        if keep_all:
            self._journal.sync()
        else:
            # Dropped records must not be found again by the next opening, which may be of this boot.
            self._shorten()

    def _shorten(self) -> None:
        """Put a snapshot of the map in place of the journal; all in the map must be synced."""
        about = (_PURPOSE, self.size_bytes)
        fresh = Journal.create(self._folder, _MAP, about, self._map.to_bytes(), self._boot)
        self._journal.close()
        self._journal = fresh

    @property
    def size_bytes(self) -> int:
        return self._base.size_bytes

    def read(self, offset: int, length: int) -> list[Part]:
        """Return the bytes of a range: the guest's where it wrote, the point's elsewhere."""
        first = offset // SECTOR
        count = -(-(offset + length) // SECTOR) - first
        if self._map.untouched(first, count):
            return self._base.read(offset, length)
        parts: list[Part] = []
        for low, size, home in self._map.homes(first, count):
            start = max(low * SECTOR, offset)
            end = min((low + size) * SECTOR, offset + length)
            parts.extend(self._part(home, start, end - start))
        return parts

    def _part(self, home: Home, offset: int, length: int) -> list[Part]:
        if home is Home.POINT:
            return self._base.read(offset, length)
        if home is Home.ZERO:
            return [(length, None)]
        return [(length, memoryview(self._files[home].read(offset, length)))]

    def is_ready(self, offset: int, length: int) -> bool:
        """Tell whether ``read`` would answer at once, from memory."""
        first = offset // SECTOR
        count = -(-(offset + length) // SECTOR) - first
        if self._map.untouched(first, count):
            return self._base.is_ready(offset, length)
        for low, size, home in self._map.homes(first, count):
            start = max(low * SECTOR, offset)
            end = min((low + size) * SECTOR, offset + length)
            if home is Home.POINT:
                if not self._base.is_ready(start, end - start):
                    return False
            elif home is not Home.ZERO and not self._files[home].is_cached(start, end - start):
                return False
        return True

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """Return what ``read`` would, or None where that may take long."""
        first = offset // SECTOR
        if self._map.untouched(first, -(-(offset + length) // SECTOR) - first):
            return self._base.read_soon(offset, length)
        return None

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it may hold other bytes than zeroes."""
        end = offset + length
        for at in range(offset, end, CHUNK * SECTOR):
            stop = min(at + CHUNK * SECTOR, end)
            first = at // SECTOR
            for low, size, home in self._map.homes(first, -(-stop // SECTOR) - first):
                start = max(low * SECTOR, at)
                extent = Extent(start, min((low + size) * SECTOR, stop) - start)
                if home is Home.POINT:
                    yield from self._base.extents(*extent)
                else:
                    yield extent, home is not Home.ZERO

    def written(self) -> Iterator[Extent]:
        """Yield what is no longer as in the point, in order: the delta of a failback."""
        with self._change:
            found = list(self._map.written())
        for first, count in found:
            offset = first * SECTOR
            yield Extent(offset, min(count * SECTOR, self.size_bytes - offset))

    def changed(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it is no longer as in the point."""
        end = offset + length
        for at in range(offset, end, CHUNK * SECTOR):
            stop = min(at + CHUNK * SECTOR, end)
            first = at // SECTOR
            for low, size, home in self._map.homes(first, -(-stop // SECTOR) - first):
                start = max(low * SECTOR, at)
                yield Extent(start, min((low + size) * SECTOR, stop) - start), home is not Home.POINT

    def write(self, offset: int, data: memoryview) -> None:
        """Write. What this returns from, the death of the process cannot undo; a flush makes it durable."""
        end = offset + len(data)
        first, last = offset // SECTOR, -(-end // SECTOR)
        below = self._below(offset, end)
        with self._change:
            self._await(first, last - first)
            if below:
                data = memoryview(self._squared(offset, data, below))
            for low, size, home in self._targets(first, last - first):
                at = (low - first) * SECTOR
                self._files[home].write(low * SECTOR, data[at : at + size * SECTOR])
                self._note(home, low, size)
        if self._journal.is_long:
            self.flush()

    def _below(self, offset: int, end: int) -> dict[int, bytes]:
        """Fetch what the point holds in the sectors that a write covers in part.

        The store may be slow or away, so this comes before the lock. A sector the guest
        wrote stays written, so one that is found unwritten under the lock was fetched.
        """
        edges = {at // SECTOR for at in (offset, end) if at % SECTOR}
        return {edge: self._point_sector(edge) if self._map.untouched(edge, 1) else b"" for edge in edges}

    def _point_sector(self, sector: int) -> bytes:
        length = min(SECTOR, self.size_bytes - sector * SECTOR)
        return joined(self._base.read(sector * SECTOR, length)).ljust(SECTOR, b"\0")

    def _squared(self, offset: int, data: memoryview, below: dict[int, bytes]) -> bytearray:
        """Return ``data`` made up to whole sectors with what is around it."""
        end = offset + len(data)
        first, last = offset // SECTOR, -(-end // SECTOR)
        square = bytearray((last - first) * SECTOR)
        for sector, under in below.items():
            at = (sector - first) * SECTOR
            square[at : at + SECTOR] = self._sector(sector, under)
        square[offset - first * SECTOR : end - first * SECTOR] = data
        return square

    def _sector(self, sector: int, under: bytes) -> bytes:
        ((_, _, home),) = self._map.homes(sector, 1)
        if home is Home.POINT:
            return under
        return bytes(SECTOR) if home is Home.ZERO else self._files[home].read(sector * SECTOR, SECTOR)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeroes, without storing them."""
        end = offset + length
        first = -(-offset // SECTOR)
        last = -(-end // SECTOR) if end == self.size_bytes else end // SECTOR
        if first >= last:
            self.write(offset, memoryview(bytes(length)))
        else:
            if offset % SECTOR:
                self.write(offset, memoryview(bytes(first * SECTOR - offset)))
            if end > last * SECTOR:
                self.write(last * SECTOR, memoryview(bytes(end - last * SECTOR)))
            self._zero_sectors(first, last)
        if self._journal.is_long:
            self.flush()

    def trim(self, offset: int, length: int) -> None:
        """Give up the whole sectors in a range; they read as zeroes."""
        end = offset + length
        first = -(-offset // SECTOR)
        last = -(-end // SECTOR) if end == self.size_bytes else end // SECTOR
        self._zero_sectors(first, last)
        if self._journal.is_long:
            self.flush()

    def _zero_sectors(self, first: int, last: int) -> None:
        for low in range(first, last, CHUNK):
            count = min(CHUNK, last - low)
            with self._change:
                self._await(low, count)
                for start, size, home in list(self._targets(low, count)):
                    self._note(home, start, size, zero=True)
                if count >= _PUNCH_FROM and len(self._emptied) < _PUNCHES_MAX:
                    self._emptied.append((low, count))

    def _await(self, first: int, count: int) -> None:
        """Wait until no flush holds these sectors."""
        while self._closing is not None and self._closing.bits(first, count):
            self._change.wait()
        self._check()

    def _targets(self, first: int, count: int) -> Iterator[tuple[int, int, Home]]:
        return self._map.target(first, count, self._fresh.bits(first, count))

    def _note(self, home: Home, first: int, count: int, *, zero: bool = False) -> None:
        self._journal.append(home + _ZERO * zero, first, count)
        self._map.set(first, count, home, zero=zero)
        self._fresh.add(first, count)
        if not zero:
            self._touched.add(home)

    def flush(self) -> None:
        """Return when all that was acknowledged before this call survives a power cut."""
        with self._flushing:
            emptied = self._flush_and_shorten() if self._journal.is_long else self._flush()
            self._give_back(emptied)

    def _flush(self) -> list[tuple[int, int]]:
        with self._change:
            self._check()
            if not self._fresh:
                return []
            closing, self._fresh = self._fresh, SectorSet()
            self._closing = closing
            touched, self._touched = self._touched, set()
            emptied, self._emptied = self._emptied, []
            upto = self._journal.position
        committed = False
        try:
            self._sync(touched)
            with self._change:
                self._journal.append(_COMMIT, upto, 0)
            with self._doubting():
                self._journal.sync()
            committed = True
        finally:
            with self._change:
                if not committed:
                    self._fresh.absorb(closing)
                    self._touched |= touched
                self._closing = None
                self._change.notify_all()
        return emptied

    def _flush_and_shorten(self) -> list[tuple[int, int]]:
        """Flush with all writes held, so that the whole map is flushed and can be the new snapshot."""
        with self._change:
            self._check()
            self._sync(self._touched)
            try:
                self._shorten()
            except Unavailable as error:
                if error.code != "no-room":
                    raise self._fail(error) from error
                # The journal of now is as good as before; it grows until there is room again.
                log.warning("overlay.journal_not_shortened", folder=self._folder.name, error=str(error))
                return self._flush()
            self._fresh = SectorSet()
            self._touched = set()
            emptied, self._emptied = self._emptied, []
        return emptied

    def _sync(self, homes: set[Home]) -> None:
        with self._doubting():
            for home in sorted(homes):
                self._files[home].sync()

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """Take no more writes if a sync fails: the kernel has then forgotten what it could not write."""
        try:
            yield
        except BasculeError as error:
            raise self._fail(error) from error

    def _fail(self, error: BasculeError) -> BasculeError:
        with self._change:
            self._failure = Unavailable(
                f"the overlay in {self._folder.name} takes no more writes: {error.message}",
                cure="reset the guest, see that the disk is well, then open it for a guest that was reset",
                code="in-doubt",
            )
            try:
                self._journal.append(_DOUBT, 0, 0)
            except BasculeError as second:
                log.warning("overlay.doubt_not_recorded", folder=self._folder.name, error=str(second))
            return self._failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _give_back(self, emptied: list[tuple[int, int]]) -> None:
        """Give the space of flushed zeroes back. Nothing that can be read depends on it."""
        for first, count in emptied:
            with self._change:
                fresh = self._fresh.bits(first, count)
                for low, size, home in list(self._map.homes(first, count)):
                    mine = fresh >> (low - first) & (1 << size) - 1
                    if home is Home.ZERO and not mine and size >= _PUNCH_FROM:
                        for file in self._files.values():
                            file.punch(low * SECTOR, size * SECTOR)

    def close(self) -> None:
        """Flush, and let go of the folder."""
        try:
            if self._failure is None:
                self.flush()
        finally:
            for file in self._files.values():
                file.close()
            self._journal.close()
            self._folder.close()


def _make(folder: Folder, name: str, size: int) -> None:
    file = folder.open(name)
    file.resize(size)
    file.sync()
    file.close()
