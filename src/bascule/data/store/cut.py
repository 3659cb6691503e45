"""Write one recovery point.

Order is the whole design: data first, then maps, the log entry last. A point
exists when its entry does, and the entry is created only if its number is free;
so a crash anywhere leaves only unreferenced data, which the sweep removes, and
two writers can never both publish. Nothing is ever updated in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from bascule.model.errors import Refused

from .access import Access
from .format import names
from .format.container import SEGMENT_BYTES, Builder, FrameRef, Kind, Source, open_frame, open_packed
from .format.entries import DiskEntry, Entry, MachineEntry, PartEntry
from .format.layers import PageCache, Shape, Stack, visible
from .format.runs import BLOCK, Run, hole, overlay
from .format.sealing import MAP, tag_of
from .format.stacker import Stacker
from .lane import Lane, Uploads
from .log import Head
from .parts import Part
from .points import DiskKey, MachineSpec, PointInfo


@dataclass(frozen=True, slots=True)
class Tuning:
    """How much memory and how many connections a session uses, and what rides inside an entry."""

    upload_threads: int = 4
    buffers: int = 5
    inline_bytes: int = 1 << 20
    segment_bytes: int = SEGMENT_BYTES
    shape: Shape = field(default_factory=Shape)

    @classmethod
    def for_lanes(cls, count: int) -> Tuning:
        """Return the usual, with a buffer for each lane, three being stored and one for the map."""
        return cls(buffers=max(cls().buffers, count + 4))


class Owner(Protocol):
    """What a cut needs of the session that owns the log."""

    access: Access
    uploads: Uploads
    tuning: Tuning

    def next_segment(self) -> Source: ...

    def stack_of(self, disk: DiskKey) -> tuple[Stack, int]: ...

    def next_entry(self) -> Entry: ...

    def entry_builder(self) -> Builder: ...

    def noticing_take_over(self) -> AbstractContextManager[None]: ...

    def new_salt(self) -> bytes: ...

    def publish(self, entry: Entry, stacks: dict[DiskKey, Stack]) -> Head[Entry]: ...

    def forget(self, cut: Cut) -> None: ...


class MapWriter:
    """Seals map frames into segments, and reads them back before they are stored."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._builder: Builder | None = None
        self.tag = b""

    def write(self, data: bytes | memoryview, first: int, flags: int = MAP) -> FrameRef:
        """Seal one frame; ``first`` is the first block of a map frame, the offset of a data frame."""
        if self._builder is not None and not self._builder.has_room(len(data)):
            self.flush()
        if self._builder is None:
            self._builder = self._owner.uploads.take()
            self._builder.begin(Kind.SEGMENT, self._owner.next_segment())
        return self._builder.add(self.tag, first, data, flags)

    def load(self, frame: FrameRef, first: int) -> bytes:
        """Read a map frame, stored or not yet."""
        builder = self._builder
        if builder is None or frame.source != builder.source:
            return self._owner.access.frame(frame, self.tag, first)
        sealer = self._owner.access.sealer
        return open_frame(sealer, builder.kind, frame, (self.tag, first), builder.sealed_frame(frame.frame))

    def flush(self) -> None:
        """Store what was sealed so far; frames written before are readable from the store afterwards."""
        builder, self._builder = self._builder, None
        if builder is not None:
            self._owner.uploads.send(builder)
            self._owner.uploads.drain()

    def drop(self) -> None:
        """Forget what was not stored."""
        builder, self._builder = self._builder, None
        if builder is not None:
            self._owner.uploads.give_back(builder)


@dataclass(slots=True)
class _Change:
    """What a cut knows of one disk."""

    size: int
    tag: bytes
    before: Stack
    size_before: int
    stack: Stack
    runs: list[Run]
    changed_blocks: int = 0


class Cut:
    """A point being written: all disks of all machines of a group at one instant.

    Lanes may be used from several threads; everything else from one.
    """

    def __init__(
        self,
        owner: Owner,
        machines: Sequence[MachineSpec],
        consistency: str,
        captured_at: float,
        *,
        is_complete: bool = True,
    ) -> None:
        self._owner = owner
        self.uploads = owner.uploads
        self._machines = tuple(machines)
        self._consistency = consistency
        self._captured_at = captured_at
        self._guard = threading.RLock()
        self._maps = MapWriter(owner)
        self._stacker = Stacker(PageCache(self._maps.load), self._maps.write, owner.tuning.shape)
        self._lanes: set[Lane] = set()
        self._left: list[Builder] = []
        self._parts: tuple[PartEntry, ...] = ()
        self._sealed_through: dict[str, int] = {}
        self._number = 0
        self._complete = is_complete
        self._stored_apart = False
        self._ended = False
        self._failure: BaseException | None = None
        self._prepared: tuple[Entry, dict[DiskKey, Stack]] | None = None
        self.digest: Callable[[bytes | memoryview], bytes] = owner.access.sealer.digester()
        self._changes = {key: self._change(key, size) for key, size in _disks(self._machines)}

    def _change(self, key: DiskKey, size: int) -> _Change:
        stack, before = self._owner.stack_of(key)
        return _Change(size, tag_of(*key), stack, before, stack, [])

    # what lanes ask for

    def take(self) -> Builder:
        """Return a buffer begun as the next segment."""
        builder = self.uploads.take()
        builder.begin(Kind.SEGMENT, self._owner.next_segment())
        return builder

    def send(self, builder: Builder) -> None:
        """Store a full segment; from here on nothing of this cut rides in the entry."""
        self._stored_apart = True
        self.uploads.send(builder)

    def tag(self, disk: DiskKey) -> bytes:
        """Return the bytes that stand for a disk in seals."""
        return self._known(disk).tag

    def size_of(self, disk: DiskKey) -> int:
        """Return a disk's size at this point."""
        return self._known(disk).size

    def _known(self, disk: DiskKey) -> _Change:
        try:
            return self._changes[disk]
        except KeyError:
            raise Refused(f"disk {disk.disk} of machine {disk.machine} is not in this cut") from None

    def absorb(self, disk: DiskKey, runs: list[Run]) -> None:
        """Take runs from a lane; many of them become a layer at once, so memory stays bounded."""
        with self._guard, self._failing_for_good():
            if self._ended:
                return
            change = self._changes[disk]
            change.changed_blocks += sum(run.span for run in runs)
            change.runs += runs
            if len(change.runs) >= self._owner.tuning.shape.spill_runs:
                self._stored_apart = True
                self._push(change, spill=True)

    def leave(self, lane: Lane, builder: Builder | None) -> None:
        """Take back a lane's last buffer."""
        with self._guard:
            self._lanes.discard(lane)
            if builder is not None:
                self._left.append(builder)

    # what the pipeline asks for

    def lane(self) -> Lane:
        """Open a lane; one per worker thread."""
        self._check_open()
        lane = Lane(self)
        with self._guard:
            self._lanes.add(lane)
        return lane

    def publish(self) -> PointInfo:
        """Make the point exist, durably and at once for all its disks, or raise and change nothing.

        After Unavailable the outcome may be unknown: asking again finds out, and ends
        with exactly one point; or with Refused and none, if data or maps could not be stored.
        """
        if self._prepared is None:
            self._check_open()
            if self._lanes:
                raise Refused("a lane of this cut is still open", cure="close all lanes before publishing")
            with self._failing_for_good(), self._owner.noticing_take_over():
                self._prepared = self._prepare()
        entry, stacks = self._prepared
        head = self._owner.publish(entry, stacks)
        self._ended = True
        return PointInfo.of(head.entry)

    def abandon(self) -> None:
        """Give the cut up; what it stored is swept later. Safe to call twice, and after ``publish``."""
        if self._ended:
            return
        self._ended = True
        for lane in list(self._lanes):
            lane.close()
        self._maps.drop()
        for builder in self._left:
            self.uploads.give_back(builder)
        self._left = []
        self.uploads.forgive()
        self._owner.forget(self)

    def __enter__(self) -> Cut:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    @contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        """Let no point come of a cut that failed half-way: some of its runs may be in no map."""
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise

    def _check_open(self) -> None:
        if self._failure is not None:
            raise Refused(
                "this cut failed and cannot be published", cure="abandon it and start another cut"
            ) from self._failure
        if self._ended or self._prepared is not None:
            raise Refused("this cut has ended", cure="start another cut")

    def include(self, parts: Sequence[Part], number: int, *, complete: bool) -> None:
        """Take in what gateways announced, oldest cut first; ``complete`` if no machine is absent."""
        for part in parts:
            for disk, runs in part.runs.items():
                change = self._known(disk)
                change.runs = overlay(sorted(change.runs, key=lambda run: run.block), runs)
                change.changed_blocks += sum(run.span for run in runs)
        self._parts = tuple(PartEntry(part.name, part.digest) for part in parts)
        self._number, self._complete = number, complete
        self._stored_apart = True

    def account_for(self, parts: Sequence[Part]) -> None:
        """Say that these parts are in a point now or never will be."""
        for part in parts:
            self._sealed_through[part.stream] = max(
                part.sealed_through, self._sealed_through.get(part.stream, -1)
            )

    # how a point comes together

    def _prepare(self) -> tuple[Entry, dict[DiskKey, Stack]]:
        entry = self._owner.next_entry()
        builder = self._owner.entry_builder()
        builder.begin(Kind.ENTRY, Source(names.entry(entry.group, entry.number), self._owner.new_salt()))
        moved = self._settle(builder)
        for change in self._changes.values():
            self._fit(change)
            change.runs = [_follow(run, moved) for run in change.runs]
            self._push(change)
        self._maps.flush()
        self.uploads.drain()
        machines = tuple(self._machine(spec, builder) for spec in self._machines)
        entry = replace(
            entry,
            consistency=self._consistency,
            captured_at=self._captured_at,
            machines=machines,
            parts=self._parts,
            cut=self._number,
            complete=self._complete,
            sealed_through=self._sealed_through,
        )
        return entry, {key: change.stack for key, change in self._changes.items()}

    def _settle(self, builder: Builder) -> dict[FrameRef, FrameRef]:
        """Let small leftovers ride in the entry itself; store large ones. Return where frames went."""
        left, self._left = self._left, []
        if self._stored_apart or sum(b.stored for b in left) > self._owner.tuning.inline_bytes:
            for full in left:
                self.uploads.send(full)
            return {}
        moved: dict[FrameRef, FrameRef] = {}
        sealer = self._owner.access.sealer
        for small in left:
            for number, line in enumerate(small.frames):
                old = FrameRef(small.source, number, line.at, line.sealed, line.plain, line.flags)
                where = (line.owner, line.offset)
                packed = open_packed(sealer, small.kind, old, where, small.sealed_frame(number))
                moved[old] = builder.reseal(line, packed)
            self.uploads.give_back(small)
        return moved

    def _push(self, change: _Change, *, spill: bool = False) -> None:
        self._maps.tag = change.tag
        runs, change.runs = sorted(change.runs, key=lambda run: run.block), []
        change.stack = self._stacker.push(change.stack, runs, spill=spill)

    def _fit(self, change: _Change) -> None:
        """Make a disk that shrank forget what lies beyond its end, so that growing again shows zeroes."""
        if change.size >= change.size_before:
            return
        edge = -(-change.size // BLOCK)
        covered = any(run.end >= edge > run.block for run in change.runs)
        if change.size % BLOCK and not covered:
            change.runs += self._cut_tail(change)
        change.runs += hole(edge, -(-change.size_before // BLOCK))

    def _cut_tail(self, change: _Change) -> list[Run]:
        block = change.size // BLOCK
        self._maps.tag = change.tag
        self.uploads.drain()
        run = visible(PageCache(self._maps.load), change.stack, block, block + 1)[0]
        if run.frame is None:
            return []
        plain = self._owner.access.frame(run.frame, change.tag, run.frame_offset)
        start = run.skip * BLOCK
        kept = plain[start : start + change.size % BLOCK]
        return [Run(block, 1, 0, self._maps.write(kept, block * BLOCK, 0))]

    def _machine(self, spec: MachineSpec, builder: Builder) -> MachineEntry:
        disks = []
        for disk in spec.disks:
            change = self._changes[DiskKey(spec.id, disk.id)]
            inline = None
            if len(change.stack.inline):
                inline = builder.add(change.tag, 0, change.stack.inline.pack(), MAP)
            changed = min(change.changed_blocks * BLOCK, change.size)
            disks.append(DiskEntry(disk.id, disk.size_bytes, changed, inline, change.stack.layers))
        return MachineEntry(spec.id, spec.name, spec.definition, tuple(disks))


def _disks(machines: Sequence[MachineSpec]) -> list[tuple[DiskKey, int]]:
    found = [(DiskKey(m.id, d.id), d.size_bytes) for m in machines for d in m.disks]
    if len({key for key, _ in found}) != len(found):
        raise Refused("a cut names a disk twice")
    return found


def _follow(run: Run, moved: dict[FrameRef, FrameRef]) -> Run:
    if run.frame is None or run.frame not in moved:
        return run
    return run._replace(frame=moved[run.frame])
