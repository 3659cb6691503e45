"""Verify a store: cheaply its structure, fully every frame; and say what a loss hurts.

The cheap run checks that logs chain, that every map opens, and that every object
that a kept point shows is there in full length. The full run also opens each live
frame and compares the digest of its plain bytes. Objects that fail are traced
back to the points and ranges that need them.

Writers and upkeep go on meanwhile, so an object may be moved or removed between
the look at the map and the look at the object. What seems wrong is therefore looked
at again, from the listing on, until two looks agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

from bascule.blocks.extents import Extent
from bascule.data.store import pins
from bascule.data.store.access import Access, kind_of
from bascule.data.store.format import names
from bascule.data.store.format.container import FrameRef, IndexedFrame, Source, open_frame
from bascule.data.store.format.entries import Entry
from bascule.data.store.format.runs import Run
from bascule.data.store.log import Head, Log
from bascule.data.store.pins import Hold
from bascule.data.store.points import POINTS, DiskKey
from bascule.data.store.reader import DiskReader
from bascule.model.errors import Damaged, Missing
from bascule.ports.objects import ObjectInfo

from .findings import Finding, beside_the_points
from .marks import Marker, Marks
from .removal import Chain, lost
from .state import RemovedRange, UpkeepEntry, current

__all__ = ["Finding", "Progress", "Verified", "Verifier"]

_THREADS = 2
_WHOLE = -1
_LOOKS_MAX = 4


@dataclass(slots=True)
class Verified:
    """What a verification looked at so far; shared with whoever shows progress."""

    points: int = 0
    objects: int = 0
    objects_total: int = 0
    bytes: int = 0
    bytes_total: int = 0


Progress = Callable[[Verified], None]


class Kept:
    """Which points are kept: those never removed, and those that a pin or lock holds."""

    def __init__(self, state: UpkeepEntry | None, holds: list[Hold]) -> None:
        self._state = state
        self._held = {(hold.group, hold.number) for hold in holds}

    def has(self, group: str, number: int) -> bool:
        """Tell whether a point is kept."""
        return not self.is_removed(group, number) or (group, number) in self._held

    def is_removed(self, group: str, number: int) -> bool:
        """Tell whether a point is removed, even if something still holds it."""
        return self._state is not None and self._state.is_removed(group, number)

    def gaps(self, group: str) -> tuple[RemovedRange, ...]:
        """Return what was removed of a group."""
        return self._state.removed.get(group, ()) if self._state else ()


class Verifier:
    """One verification of a vault; reads only."""

    def __init__(self, access: Access, progress: Progress | None = None) -> None:
        self._access = access
        self._progress = progress or (lambda _: None)
        self.seen = Verified()
        # (object, frame) that cannot be read; frame _WHOLE stands for all of it.
        self._bad: dict[tuple[str, int], str] = {}
        self._good: set[str] = set()
        self._present: set[str] = set()
        self._lost: set[str] = set()
        self._tried: dict[FrameRef, bool] = {}

    def run(self, *, full: bool = False) -> Iterator[Finding]:
        """Yield what is wrong; nothing if all is well."""
        before: list[Finding] = []
        for _ in range(_LOOKS_MAX):
            found = list(self._look(full=full))
            if not found or found == before:
                break
            before = found
            self.seen.points = 0
            self._bad.clear()
            self._tried.clear()
        yield from found

    def _look(self, *, full: bool) -> Iterator[Finding]:
        segments = {info.name: info for info in self._access.objects.list(names.SEGMENTS)}
        state, unknown = self._state()
        yield from unknown
        kept = Kept(state, pins.holds(self._access.objects))
        logs = list(self._access.objects.list(names.POINTS))
        marker = Marker(self._access, chain(segments, (info.name for info in logs)), self._doubt)
        groups: dict[str, list[int]] = {}
        for info in reversed(logs):
            groups.setdefault(info.name.split("/")[1], []).append(names.number_of(info.name))
        for group, numbers in groups.items():
            if not unknown:
                yield from self._gaps(group, numbers, kept)
            yield from self._group(group, numbers, kept, marker)
        self._lengths({**segments, **{info.name: info for info in logs}}, marker.marks)
        yield from beside_the_points(self._access)
        if full:
            self._frames(marker.marks)
        if self._bad:
            yield from self._trace(groups, kept)

    def _state(self) -> tuple[UpkeepEntry | None, list[Finding]]:
        try:
            return current(self._access), []
        except Damaged as error:
            return None, [Finding(f"which points are removed cannot be told: {error}")]

    def _doubt(self, frame: FrameRef, error: Damaged) -> None:
        self._bad[frame.source.name, frame.frame] = f"cannot be read: {error}"

    # the log

    def _gaps(self, group: str, numbers: list[int], kept: Kept) -> Iterator[Finding]:
        for number in lost(numbers, kept.gaps(group)):
            yield Finding(f"log entry {group}/{number} is lost", group, number)

    def _group(self, group: str, numbers: list[int], kept: Kept, marker: Marker) -> Iterator[Finding]:
        log, chained = Log(self._access, group, POINTS), Chain(kept.gaps(group))
        for number in numbers:
            if not kept.has(group, number):
                continue
            try:
                head = log.read(number)
            except Missing:
                continue  # swept since it was listed
            except Damaged as error:
                yield Finding(f"log entry {group}/{number}: {error}", group, number)
                continue
            if not kept.is_removed(group, number):
                for stranger in chained.strangers(head):
                    yield Finding(
                        f"log entry {group}/{stranger} is not as the log names it: bytes of it changed, "
                        "or it comes from another history of this vault",
                        group,
                    )
            if head.entry.kind == "point":
                self.seen.points += 1
                self._progress(self.seen)
                marker.point(head.entry)

    # the objects

    def _lengths(self, present: dict[str, ObjectInfo], marks: Marks) -> None:
        self.seen.objects_total = len(marks.frames)
        self.seen.bytes_total = sum(marks.bytes.values())
        self._present = set(present)
        self._lost = set(marks.lost)
        for name in marks.lost:
            self._bad[name, _WHOLE] = "is lost"
        for name, end in marks.ends.items():
            size = (present.get(name) or self._access.objects.stat(name)).size
            if size < end:
                self._bad[name, _WHOLE] = f"is cut short: it has {size} bytes and needs {end}"

    def _frames(self, marks: Marks) -> None:
        wanted = [name for name in marks.frames if name not in self._good and (name, _WHOLE) not in self._bad]
        with ThreadPoolExecutor(_THREADS, "verify") as pool:
            for found in pool.map(lambda name: self._object(name, marks.numbers(name)), wanted):
                self._bad.update(found)
                self._progress(self.seen)

    def _object(self, name: str, live: list[int]) -> dict[tuple[str, int], str]:
        bad: dict[tuple[str, int], str] = {}
        kind = kind_of(Source(name, b""))
        try:
            opened = self._access.index(name, kind)
        except (Damaged, Missing) as error:
            return {(name, _WHOLE): str(error)}
        digest = self._access.sealer.digester()
        for number in live:
            line = opened.frames[number]
            try:
                if digest(self._open(Source(name, opened.salt), number, line)) != line.digest:
                    bad[name, number] = "does not hold what was hashed when it was written"
            except (Damaged, Missing) as error:
                bad[name, number] = str(error)
            self.seen.bytes += line.sealed
        if not bad:
            self.seen.objects += 1
            self._good.add(name)
        return bad

    def _open(self, source: Source, number: int, line: IndexedFrame) -> bytes:
        frame = FrameRef(source, number, line.at, line.sealed, line.plain, line.flags)
        sealed = self._access.bytes_of(source.name, line.at, line.sealed)
        return open_frame(self._access.sealer, kind_of(source), frame, (line.owner, line.offset), sealed)

    # whom it hurts

    def _trace(self, groups: dict[str, list[int]], kept: Kept) -> Iterator[Finding]:
        for (name, number), why in sorted(self._bad.items()):
            what = f"object {name}" if number == _WHOLE else f"frame {number} of object {name}"
            yield Finding(f"{what} {why}")
        for group, numbers in groups.items():
            wanted = [n for n in sorted(numbers) if kept.has(group, n)]
            for head in _tolerant(self._access, group, wanted):
                yield from self._hurt(head.entry)

    def _hurt(self, entry: Entry) -> Iterator[Finding]:
        for machine in entry.machines:
            for disk in machine.disks:
                key = DiskKey(machine.id, disk.id)
                where = (entry.group, entry.number, key)
                try:
                    reader = DiskReader(self._access, entry, key, disk)
                except Damaged as error:
                    yield Finding(f"the map cannot be read: {error}", *where, (Extent(0, disk.size_bytes),))
                    continue
                hurt = tuple(reader.unreadable(partial(self._is_bad, reader)))
                if hurt:
                    yield Finding("these bytes cannot be read", *where, hurt)

    def _is_bad(self, reader: DiskReader, run: Run) -> bool:
        assert run.frame is not None  # holes are never asked about
        frame = run.frame
        if (frame.source.name, frame.frame) in self._bad:
            return True
        if frame.source.name not in self._present:
            try:
                frame = self._access.locate(frame)
            except (Missing, Damaged):
                return True
        name = frame.source.name
        if name in self._lost or (name, frame.frame) in self._bad:
            return True
        return (name, _WHOLE) in self._bad and self._fails(reader, run, frame)

    def _fails(self, reader: DiskReader, run: Run, frame: FrameRef) -> bool:
        """Tell whether a frame of an object that is not whole can still be read."""
        found = self._tried.get(frame)
        if found is None:
            try:
                reader.frame(run)
                found = False
            except Damaged:
                found = True
            self._tried[frame] = found
        return found


def _tolerant(access: Access, group: str, numbers: list[int]) -> Iterator[Head[Entry]]:
    log = Log(access, group, POINTS)
    for number in numbers:
        try:
            head = log.read(number)
        except (Missing, Damaged):
            continue  # reported when the log was checked
        if head.entry.kind == "point":
            yield head
