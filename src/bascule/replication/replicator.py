"""A group of machines, kept replicated: each cycle makes a point of what changed since the last.

Order of a cycle: freeze all disks of all machines at one instant; copy what changed; publish the
point, and in it the name of what records the changes since that instant; let go of the
instant. So whatever dies when, the newest point says by which record the next delta is
made, and that record began no later than the point's instant. A cycle that fails takes
back nothing but its own instant: its changes count again in the next one.

Where the record is lost, what changed is unknown: the disk is compared with the store by
digests, and only what differs is sent (R-R-2). A machine that was recovered here is better off: what it
wrote since is told by whoever serves its disks, as the note of the newest point says.

A machine of a group that is away stays in the point what it was, and the point says that it is
not complete (R-RP-5); when the machine is back, its next delta counts from where it was left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace

import structlog

from bascule.blocks.extents import Extent
from bascule.data.pipeline.changed import ChangedSource
from bascule.data.pipeline.copy import Capture, Copied, copy
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.resync import resync
from bascule.data.store import Claim, DiskKey, DiskSpec, GroupWriter, MachineSpec, Tuning, Vault
from bascule.model.errors import BasculeError, Missing, Refused
from bascule.model.notes import MachineNote, from_text, to_text
from bascule.model.policies import Consistency
from bascule.ports.chance import Clock
from bascule.ports.disks import DiskSource
from bascule.ports.machines import Frozen, FrozenDisk, Recorded, Tracking

from .instants import Aside, HeldSource, Instant
from .members import Member, Members

# Four segments are being stored at one time: together a hundredth of the disks, of 50 MiB two; of less 1 MiB.
_SEGMENTS_LEAST = 400
_SEGMENT_SMALLEST = 256 << 10

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """Under which name machines are kept, and who keeps them."""

    group: str
    writer: str


def tuning_for(disk_bytes: int, workers: int, segments_bytes: int = 0) -> Tuning:
    """Return how to store disks: in segments that fit together into ``segments_bytes``, 0 for the usual.

    Those under way when we are killed are sent again, so small disks have small ones (R-R-10).
    """
    usual = Tuning.for_lanes(workers)
    largest = usual.segment_bytes
    if segments_bytes:
        largest = min(largest, segments_bytes // usual.buffers)
    part = min(disk_bytes // _SEGMENTS_LEAST, largest)
    return replace(usual, segment_bytes=max(part, _SEGMENT_SMALLEST))


def unprepared(_machines: Sequence[str]) -> AbstractContextManager[Callable[[], Consistency]]:
    """Ask nothing of the guests: what a point finds is as after a power cut."""
    return nullcontext(lambda: Consistency.CRASH)


@dataclass(frozen=True, slots=True)
class Rules:
    """What whoever runs a replicator decides about its cycles; as it stands, all is allowed.

    ``claim`` sees whom a session would fence, ``may_compare`` which disks would be compared whole with the
    store, ``sees`` what records hold of which ``recorded`` could not tell: each raises if that is not to be.
    ``believes`` says whether what the machine recorded is good, ``wants`` which disks are replicated at all.
    The instant lies inside ``quiesce``, which is told the machines, makes their guests ready for it and lets
    them go on after it; what it yields says afterwards how consistent that made the point (R-RP-1).
    """

    claim: Claim | None = None
    may_compare: Callable[[Sequence[DiskKey]], None] = lambda _disks: None
    sees: Callable[[Mapping[DiskKey, Recorded]], None] = lambda _recorded: None
    believes: Callable[[], bool] = lambda: True
    wants: Callable[[DiskKey], bool] = lambda _disk: True
    quiesce: Callable[[Sequence[str]], AbstractContextManager[Callable[[], Consistency]]] = unprepared


@dataclass(frozen=True, slots=True)
class World:
    """What a replicator needs of the rest of the house.

    ``segments_bytes`` is the memory for what is being put together and stored, 0 for the usual.
    """

    vault: Vault
    clock: Clock
    open_source: Callable[[str], DiskSource]
    conduct: Callable[[], Conduct]
    rules: Rules = Rules()
    segments_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Cycled:
    """What one cycle did.

    ``compared`` names the disks whose changes were unknown, ``absent`` the machines that were away
    and why. Machines that were frozen together stood still for ``held_seconds``. ``left_out`` are disks
    that nobody wants to have replicated, and their sizes.
    """

    copied: Copied
    compared: tuple[DiskKey, ...]
    seconds: float
    point_age_seconds: float
    absent: Mapping[str, BasculeError]
    held_seconds: float
    left_out: Mapping[DiskKey, int] = field(default_factory=dict)


class Replicator:
    """A group being replicated. Use from one thread; ``close`` leaves the machines as they are."""

    def __init__(self, world: World, members: Sequence[Member], names: Names) -> None:
        if not members or len({member.id for member in members}) != len(members):
            raise Refused(f"group {names.group} needs machines, each under a name of its own")
        self._world = world
        self._names = names
        self._members = Members(members, world.clock)
        self._writer: GroupWriter | None = None
        self._notes: dict[str, MachineNote] = {}

    def cycle(self) -> Cycled:
        """Make a point, or raise and lose nothing: the next cycle sends what this one would have."""
        clock = self._world.clock
        begun = clock.monotonic()
        was_blind = self._is_blind
        try:
            self._members.gather(self._newest)
            if was_blind:
                self._world.rules.sees(self._members.recorded() or {})
            with self._world.rules.quiesce(tuple(self._members.here)) as consistency:
                frozen_at = clock.monotonic()
                instant = self._members.freeze()
            absent = dict(self._members.absent)
            try:
                with Aside(instant.thaw) as thawing:
                    copied, compared = self._send(instant, tuple(absent), consistency(), thawing.begin)
            except BaseException:
                instant.drop()
                raise
            self._keep(instant)
        except BaseException:
            # Its last words may have reached the store, or not; and a machine may be another one by now.
            self.close()
            raise
        now = clock.monotonic()
        age, left_out = now - frozen_at, self._left_out(instant)
        return Cycled(copied, compared, now - begun, age, absent, instant.held_seconds, left_out)

    def _left_out(self, instant: Instant) -> Mapping[DiskKey, int]:
        every = {DiskKey(m, disk.id): disk.size_bytes for m, f in instant.frozen.items() for disk in f.disks}
        return {disk: size for disk, size in every.items() if not self._world.rules.wants(disk)}

    def rest(self) -> None:
        """Give memory back that the next cycle takes anew; what is open stays open."""
        if self._writer is not None:
            self._writer.uploads.rest()

    @property
    def session(self) -> str:
        """Return the id of the session in the group's log that is open, empty if none is."""
        return self._writer.session if self._writer else ""

    def recorded(self) -> Mapping[DiskKey, Recorded] | None:
        """Return what the record of each disk holds since the newest point; None if that is not known of all.

        Nothing is frozen for it: all that a machine was told is written was recorded before.
        """
        return None if self._is_blind else self._members.recorded()

    @property
    def _is_blind(self) -> bool:
        return self._writer is None or bool(self._members.absent)

    def _newest(self) -> Mapping[str, Tracking]:
        """Take the group over if it is not ours yet; return from where its machines' next deltas count."""
        vault, names = self._world.vault, self._names
        if self._writer is None:
            self._writer = vault.begin(
                names.group, writer=names.writer, tuning=self._tuning(), claim=self._world.rules.claim
            )
        try:
            with vault.peek(names.group) as newest:
                self._notes = {machine.id: from_text(machine.definition) for machine in newest.info.machines}
        except Missing:
            return {}
        if strangers := self._notes.keys() - set(self._members.ids):
            raise Refused(
                f"group {names.group} holds {', '.join(sorted(strangers))} too: a point is all its machines",
                cure="name all of them, or choose another group",
            )
        if not self._world.rules.believes():
            return {}
        return {machine: note.tracking for machine, note in self._notes.items()}

    def _tuning(self) -> Tuning:
        disks = self._members.recorded() or {}
        total_bytes = sum(disk.size_bytes for disk in disks.values())
        return tuning_for(total_bytes, self._world.conduct().workers, self._world.segments_bytes)

    def _send(
        self, instant: Instant, absent: tuple[str, ...], consistency: str, thaw: Callable[[], None]
    ) -> tuple[Copied, tuple[DiskKey, ...]]:
        """Send what changed; ``thaw`` is called when all is read, before it is published."""
        assert self._writer is not None, "a session begins before anything is frozen"
        writer, world = self._writer, self._world
        with ExitStack() as open_sources:
            sources: dict[DiskKey, DiskSource] = {}
            unknown: list[DiskKey] = []
            for machine, frozen in instant.frozen.items():
                for disk in self._wanted(machine, frozen):
                    key = DiskKey(machine, disk.id)
                    sources[key] = source = HeldSource(world.open_source(disk.words), disk.id)
                    open_sources.callback(source.close)
                    if not disk.is_delta and writer.disk_size(key) is not None:
                        written = self._written(key)
                        if written is None:
                            unknown.append(key)
                        else:
                            sources[key] = ChangedSource(source, written)
            specs = [self._spec(machine, frozen) for machine, frozen in instant.frozen.items()]

            def let_go() -> None:
                open_sources.close()
                thaw()

            capture = Capture(specs, sources, instant.captured_at, consistency, absent, let_go)
            if not unknown:
                return copy(writer, capture, world.conduct()), ()
            world.rules.may_compare(unknown)
            log.info("replication.compares", group=writer.group, disks=unknown)
            return resync(world.vault, writer, capture, world.conduct()).copied, tuple(unknown)

    def _written(self, disk: DiskKey) -> list[Extent] | None:
        """Return all that changed since the group began, if somebody tells it; asked after the instant."""
        words = self._notes.get(disk.machine, MachineNote()).written.get(disk.disk)
        if words is None or not self._world.rules.believes():
            return None
        try:
            with closing(self._world.open_source(words)) as told:
                return list(told.extents())
        except BasculeError as error:
            log.warning("replication.not_told", disk=disk, reason=error.message)
            return None

    def _wanted(self, machine: str, frozen: Frozen) -> list[FrozenDisk]:
        found = [disk for disk in frozen.disks if self._world.rules.wants(DiskKey(machine, disk.id))]
        if not found:
            raise Refused(
                f"no disk of {machine} is to be replicated", cure="include one, or unprotect the machine"
            )
        return found

    def _spec(self, machine: str, frozen: Frozen) -> MachineSpec:
        disks = tuple(DiskSpec(disk.id, disk.size_bytes) for disk in self._wanted(machine, frozen))
        attendance = self._members.here[machine]
        name = attendance.machine.name if attendance.machine is not None else ""
        known = self._notes.get(machine, MachineNote())
        # A disk that is left out is in no point, so no delta may count from this one.
        tracking = {disk.id: frozen.tracking[disk.id] for disk in disks if disk.id in frozen.tracking}
        note = replace(known, machine=attendance.definition or known.machine, tracking=tracking)
        return MachineSpec(machine, name or machine, disks, to_text(note))

    def _keep(self, instant: Instant) -> None:
        """Let go of all machines; the point is made, so one that ended meanwhile takes nothing from it."""
        for machine, frozen in instant.frozen.items():
            member = self._members.here[machine]
            member.since = frozen.tracking
            try:
                frozen.keep()
            except BasculeError as error:
                member.lose(error)

    def close(self) -> None:
        """Stop replicating; safe to call twice. Machines record on, so the next start sends a delta."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._members.close()
