"""A writer session: the owner of a group's log, until somebody takes over.

The session's own fence is its intent: segments carry the session's name, and the
sweep spares those of the session that the newest entry names, and of those that
session adopted. So there is no lease, and no clock decides who may write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from bascule.model.errors import Fenced, Refused
from bascule.ports.chance import Clock, Ids

from .access import Access, load_stack
from .cut import Cut, Tuning
from .format import names
from .format.container import Builder, FrameRef, Kind, Source
from .format.entries import RETIRED, Entry
from .format.layers import Stack
from .format.sealing import SALT_BYTES, tag_of
from .lane import DurableFrame, Uploads
from .log import ENTRY_BYTES, Beginning, Head, Log, begin
from .parts import PartKey, waiting
from .points import POINTS, DiskKey, DiskSpec, MachineSpec

Claim = Callable[[Entry | None, str], None]
"""Called with the entry that a fence is to follow, None for a new group, and the id of the session that
begins; before the fence is stored, and again if another entry was faster. Raising leaves the log as it is.
"""


class GroupWriter:
    """Writes points into one group. Use from one thread, but for a cut's lanes."""

    def __init__(self, access: Access, log: Log[Entry], ids: Ids, clock: Clock, tuning: Tuning) -> None:
        self.access = access
        self.tuning = tuning
        self.uploads = Uploads(
            access.objects,
            access.sealer,
            threads=tuning.upload_threads,
            buffers=tuning.buffers,
            segment_bytes=tuning.segment_bytes,
        )
        self._log = log
        self._ids = ids
        self._clock = clock
        self._naming = threading.Lock()
        self._last_sequence = -1
        self._session = ids.random(16).hex()
        self._builder = Builder(access.sealer, ENTRY_BYTES)
        self._stacks: dict[DiskKey, tuple[Stack, int]] = {}
        self._machines: dict[str, MachineSpec] = {}
        # The newest cut that each machine's parts came from, and what the open cut will make of it.
        self._cuts: dict[str, int] = {}
        self._collected: dict[str, int] = {}
        self._cut: Cut | None = None
        self._head: Head[Entry]
        self._fenced = False

    @property
    def group(self) -> str:
        """Return the group's id."""
        return self._log.group

    @property
    def session(self) -> str:
        """Return this session's id."""
        return self._session

    def take_over(self, writer: str, base: tuple[str, int] | None = None, claim: Claim | None = None) -> None:
        """Fence every earlier writer of the group, and continue from its newest point."""

        def fence(head: Head[Entry] | None) -> Entry:
            if claim is not None:
                claim(head.entry if head else None, self._session)
            return self._fence(head, writer, base)

        self._head = begin(Beginning(self._log, self._builder, self.new_salt), fence)
        with self.noticing_take_over():
            self._load(self._newest_point())

    def noticing_take_over(self) -> AbstractContextManager[None]:
        """Turn what a fenced writer trips over into Fenced."""
        return self._log.noticing_take_over(self._head.entry.number)

    def _fence(self, head: Head[Entry] | None, writer: str, base: tuple[str, int] | None) -> Entry:
        entry = Entry(
            group=self.group,
            number=0,
            kind="fence",
            session=self._session,
            writer=writer,
            previous="",
            nonce=self._ids.random(16).hex(),
            written_at=self._clock.now(),
            base=base,
        )
        if head is None:
            return entry
        last = head.entry
        if base is not None and last.kind != RETIRED:
            raise Refused(f"group {self.group} exists", cure="branch into a group with a new name")
        own = {last.session: last.sealed_through.get("", -1)}
        return replace(
            entry,
            number=last.number + 1,
            previous=head.digest,
            adopts=own | last.adopts if last.kind == "fence" else own,
            last_point=last.number if last.kind == "point" else last.last_point,
            base=last.base if last.kind == "fence" else base,
        )

    def _newest_point(self) -> Entry | None:
        fence = self._head.entry
        if fence.last_point is not None:
            return self._log.read(fence.last_point).entry
        if fence.base is not None:
            group, number = fence.base
            return Log(self.access, group, POINTS).read(number).entry
        return None

    def _load(self, point: Entry | None) -> None:
        self._machines = _specs(point) if point else {}
        self._stacks = {
            DiskKey(machine.id, disk.id): (load_stack(self.access, machine.id, disk), disk.size_bytes)
            for machine in (point.machines if point else ())
            for disk in machine.disks
        }

    def disk_size(self, disk: DiskKey) -> int | None:
        """Return a disk's size at the newest point, or None if that point has no such disk."""
        found = self._stacks.get(disk)
        return None if found is None else found[1]

    def durable(self, disk: DiskKey) -> Iterator[DurableFrame]:
        """Yield what earlier sessions stored of a disk and did not live to publish.

        The frames are those of the store, of whatever time: adopt one only if its
        digest is the digest of what the disk holds now.
        """
        tag = tag_of(*disk)
        for session, after in self._head.entry.adopts.items():
            prefix = names.session_prefix(self.group, session)
            for info in self.access.objects.list(prefix, f"{prefix}{after:08d}" if after >= 0 else ""):
                opened = self.access.index(info.name, Kind.SEGMENT, info.size)
                source = Source(info.name, opened.salt)
                for number, line in enumerate(opened.frames):
                    if line.owner == tag and not line.flags & 2:
                        frame = FrameRef(source, number, line.at, line.sealed, line.plain, line.flags)
                        yield DurableFrame(line.offset, line.plain, line.digest, frame)

    def cut(
        self,
        machines: Sequence[MachineSpec],
        *,
        consistency: str = "crash",
        captured_at: float | None = None,
        absent: Sequence[str] = (),
    ) -> Cut:
        """Begin a point of these machines; one cut at a time.

        Machines that are ``absent`` stay what they were at the newest point, and the point says
        that it is not complete.
        """
        if self._fenced:
            raise Fenced(f"group {self.group} was taken over", cure="begin a new session")
        if self._cut is not None:
            raise Refused("a cut of this session is open", cure="publish or abandon it first")
        at = self._clock.now() if captured_at is None else captured_at
        kept = [self._machines[machine] for machine in absent if machine in self._machines]
        self._cut = Cut(self, [*machines, *kept], consistency, at, is_complete=not absent)
        return self._cut

    def collect(self, number: int, expected: Sequence[str], *, consistency: str = "crash") -> Cut:
        """Begin a point from the parts that gateways announced for cut ``number``, and late ones.

        Machines of ``expected`` without a part for this very cut keep what they were, and
        the point says that it is not complete. A part older than one that was taken in
        for the same machine comes from a gateway that slept while another did its work,
        and is passed over for good.
        """
        taken = self._head.entry.sealed_through
        announced = waiting(self.access, PartKey(self.group, self._session, number))
        parts = [part for part in announced if part.sealed_through > taken.get(part.stream, -1)]
        fresh = [part for part in parts if part.cut > self._cuts.get(part.machine.id, -1)]
        machines = self._machines | {part.machine.id: part.machine for part in fresh}
        current = [part for part in fresh if part.cut == number]
        at = min((part.captured_at for part in current), default=self._clock.now())
        cut = self.cut(list(machines.values()), consistency=consistency, captured_at=at)
        self._collected = {part.machine.id: part.cut for part in fresh}
        cut.include(fresh, number, complete={part.machine.id for part in current} >= set(expected))
        cut.account_for(parts)
        return cut

    # what a cut asks for

    def next_segment(self) -> Source:
        """Name a segment that was never named before, under a salt that was never used."""
        with self._naming:
            self._last_sequence += 1
            name = names.segment(self.group, self._session, self._last_sequence)
        return Source(name, self.new_salt())

    def new_salt(self) -> bytes:
        """Draw a salt."""
        return self._ids.random(SALT_BYTES)

    def stack_of(self, disk: DiskKey) -> tuple[Stack, int]:
        """Return a disk's map and size at the newest point."""
        return self._stacks.get(disk, (Stack(), 0))

    def entry_builder(self) -> Builder:
        """Return the buffer that entries are put together in."""
        return self._builder

    def next_entry(self) -> Entry:
        """Return the frame of the next point's entry."""
        head = self._head.entry
        return Entry(
            group=self.group,
            number=head.number + 1,
            kind="point",
            session=self._session,
            writer=head.writer,
            previous=self._head.digest,
            nonce=self._ids.random(16).hex(),
            written_at=self._clock.now(),
        )

    def publish(self, entry: Entry, stacks: dict[DiskKey, Stack]) -> Head[Entry]:
        """Append a cut's entry; on success its maps are what the next cut builds on."""
        before = self._head.entry.sealed_through
        through = before | entry.sealed_through | {"": self._last_sequence}
        entry = replace(entry, sealed_through=through, cut=max(entry.cut, self._head.entry.cut))
        try:
            self._head = self._log.append(entry, self._builder)
        except Fenced:
            self._fenced = True
            raise
        sizes = {DiskKey(m.id, d.id): d.size_bytes for m in entry.machines for d in m.disks}
        self._stacks = {disk: (stack, sizes[disk]) for disk, stack in stacks.items()}
        self._machines = _specs(entry)
        self._cuts |= self._collected
        self._let_go()
        return self._head

    def forget(self, cut: Cut) -> None:
        """Let go of an abandoned cut."""
        if self._cut is cut:
            self._let_go()

    def _let_go(self) -> None:
        self._cut, self._collected = None, {}

    def close(self) -> None:
        """End the session's threads. The log stays as it is; nothing needs to be said to end a session."""
        if self._cut is not None:
            self._cut.abandon()
        self.uploads.close()
        self._builder.close()

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _specs(entry: Entry) -> dict[str, MachineSpec]:
    return {
        machine.id: MachineSpec(
            machine.id,
            machine.name,
            tuple(DiskSpec(disk.id, disk.size_bytes) for disk in machine.disks),
            machine.definition,
        )
        for machine in entry.machines
    }
