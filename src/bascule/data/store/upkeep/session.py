"""One upkeep session: thins, sweeps and compacts a vault while writers and readers go on.

Sessions fence each other through the upkeep log, as writers do. Within a session
the orders that matter are:

- thin: announce what leaves, look for locks, publish what is removed; only then may
  anything of it be deleted.
- sweep: list segments, then pins and locks, then the logs; only then delete. What
  a later point shows was shown by the head we read, or is newer than our listing,
  or belongs to a session we spared. So what is dead stays dead, and a sweeper that
  wakes up late deletes nothing that anybody came to need.
- compact: store the live frames anew, publish the move, write the moved tables,
  delete the old objects. A session that dies in between left its move in the log,
  and the next one finishes it before anything else.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from bascule.data.store import pins
from bascule.data.store.access import Access
from bascule.data.store.format import names
from bascule.data.store.format.container import Builder, Kind, Source
from bascule.data.store.format.entries import Entry
from bascule.data.store.lane import Uploads
from bascule.data.store.log import ENTRY_BYTES, Beginning, Head, Log, begin
from bascule.data.store.points import POINTS
from bascule.model.errors import Damaged, Exists, Missing, Refused
from bascule.model.retention import Aged, Ladder
from bascule.ports.chance import Clock, Ids

from . import reserve
from .compaction import Compactor, CompactReport
from .removal import given_up, join, range_of
from .retirement import retire
from .scan import each, entries
from .state import RemovedRange, UpkeepEntry, upkeep_log
from .sweep import Survey, SweepReport, survey

SALT_BYTES = 32
# A session keeps one state and its forerunner at most, and one fence lies between sessions.
_LEFT_BEHIND_MAX = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run, so that a mistake or a surprise stays small."""

    objects_deleted_max: int = 1_000_000
    move_live_below: float = 0.5
    batch_objects: int = 64
    batch_bytes: int = 256 << 20
    batch_frames: int = 50_000


class Upkeep:
    """The owner of the upkeep log, until another session takes over. Use from one thread."""

    def __init__(self, access: Access, ids: Ids, clock: Clock, limits: Limits | None = None) -> None:
        self._access = access
        self._ids = ids
        self._clock = clock
        self._limits = limits or Limits()
        self._log = upkeep_log(access)
        self._builder = Builder(access.sealer, ENTRY_BYTES * 4)
        self.session = ids.random(16).hex()
        self._head: Head[UpkeepEntry]
        self._compactor: Compactor | None = None

    def take_over(self, writer: str) -> None:
        """Fence earlier sessions, and finish the move the last one may have left half done."""

        def fence(head: Head[UpkeepEntry] | None) -> UpkeepEntry:
            return self._next(head, "fence", writer)

        self._head = begin(Beginning(self._log, self._builder, self._salt), fence)
        with self._log.noticing_take_over(self.state.number):
            self._finish_moves()
            self._drop_old_states()

    def _drop_old_states(self) -> None:
        """Delete states that a session published over and died before it deleted them."""
        for number in list(islice(self._log.numbers(), 1, 1 + _LEFT_BEHIND_MAX)):
            if self._log.read(number).entry.kind == "state":
                self._access.objects.delete([names.entry(names.UPKEEP_GROUP, number)])

    def _next(self, head: Head[UpkeepEntry] | None, kind: str, writer: str) -> UpkeepEntry:
        last = head.entry if head else UpkeepEntry(-1, "", "", "", "")
        return replace(
            last,
            number=last.number + 1,
            kind=kind,
            session=self.session,
            writer=writer,
            nonce=self._ids.random(16).hex(),
            written_at=self._clock.now(),
            leaving={} if kind == "fence" else last.leaving,
        )

    def _salt(self) -> bytes:
        return self._ids.random(SALT_BYTES)

    @property
    def state(self) -> UpkeepEntry:
        """Return what this session last published."""
        return self._head.entry

    def _publish(self, entry: UpkeepEntry) -> None:
        before = self._head.entry
        self._builder.begin(Kind.ENTRY, Source(names.entry(names.UPKEEP_GROUP, entry.number), self._salt()))
        self._head = self._log.append(entry, self._builder)
        if before.kind != "fence":
            self._access.objects.delete([names.entry(names.UPKEEP_GROUP, before.number)])

    def _following(self) -> UpkeepEntry:
        """Return the next state, in which nothing has changed yet."""
        return self._next(self._head, "state", self.state.writer)

    # thinning

    def thin(self, group: str, ladder: Ladder) -> list[int]:
        """Remove the points of a group that the ladder does not keep; return their numbers.

        The newest point and locked points stay. Removed points are no longer
        listed; their space comes back with ``sweep`` and ``compact``.
        """
        return self._thin(group, ladder.keep)

    def keep_only(self, group: str, numbers: Iterable[int]) -> list[int]:
        """Remove all points of a group but these, the newest and locked ones; return what was removed."""
        wanted = set(numbers)
        return self._thin(group, lambda points: wanted | {max(number for number, _ in points)})

    def retire(self, group: str) -> bool:
        """End a group: fence whoever writes it, remove all its points, and free its name.

        Locked points stay, and the group with them. Returns whether nothing stayed.
        """
        if self._locked(group):
            self.keep_only(group, [])
            return False
        last = retire(self._access, names.check_group(group), self._ending, self._salt)
        log = Log(self._access, group, POINTS)
        listed = [info for info in self._access.objects.list(names.log_prefix(group))]
        present = [info for info in listed if not self.state.is_removed(group, names.number_of(info.name))]
        points = sorted(entry.number for entry in entries(log, present) if entry.kind == "point")
        with self._log.noticing_take_over(self.state.number):
            self._remove(group, {gap.first: gap for gap in each(self._gap(log), points)})
        if self._locked(group):
            return False
        self._publish(replace(self._following(), retired=self.state.retired | {group: last}))
        return True

    def _ending(self, entry: Entry) -> Entry:
        nonce = self._ids.random(16).hex()
        writer, now = f"retired by {self.state.writer}", self._clock.now()
        return replace(entry, session=self.session, writer=writer, nonce=nonce, written_at=now)

    def _thin(self, group: str, keep: Callable[[list[Aged]], set[int]]) -> list[int]:
        log = Log(self._access, names.check_group(group), POINTS)
        listed = {
            names.number_of(info.name): info for info in self._access.objects.list(names.log_prefix(group))
        }
        present = [listed[n] for n in sorted(listed) if not self.state.is_removed(group, n)]
        points = [entry.number for entry in entries(log, present) if entry.kind == "point"]
        if not points:
            return []
        kept = keep([(number, listed[number].modified) for number in points]) | self._locked(group)
        leaving = [number for number in points if number not in kept]
        with self._log.noticing_take_over(self.state.number):
            return self._remove(group, {gap.first: gap for gap in each(self._gap(log), leaving)})

    def _gap(self, log: Log[Entry]) -> Callable[[int], RemovedRange]:
        return lambda number: range_of(log.read(number))

    def remove(self, group: str, numbers: Iterable[int]) -> list[int]:
        """Remove points by number; the newest and locked ones are refused.

        An entry that is lost or damaged is given up by this, and the log is whole again without it.
        """
        log = Log(self._access, names.check_group(group), POINTS)
        head = log.head()
        if head is None:
            raise Missing(f"there is no group {group}")
        newest = head.entry.number if head.entry.kind == "point" else head.entry.last_point
        wanted = sorted(n for n in set(numbers) if not self.state.is_removed(group, n))
        held = self._locked(group) | ({newest} if newest is not None else set())
        if stuck := [n for n in wanted if n in held or n > head.entry.number]:
            raise Refused(f"points {stuck} of group {group} are locked, or the newest, and stay")
        found = {n: gap for n in wanted for gap in self._range(log, n)}
        return self._remove(group, found)

    def _range(self, log: Log[Entry], number: int) -> Iterator[RemovedRange]:
        try:
            head = log.read(number)
        except (Missing, Damaged):
            yield given_up(log, self.state.removed.get(log.group, ()), number)
            return
        if head.entry.kind == "point":
            yield range_of(head)

    def _locked(self, group: str) -> set[int]:
        now = self._store_now()
        return {n for n, until in pins.held_until(self._access.objects, group).items() if until > now}

    def _remove(self, group: str, found: dict[int, RemovedRange]) -> list[int]:
        """Announce, look for locks once more, remove: a lock sees the announcement, or is seen."""
        if found:
            self._publish(replace(self._following(), leaving={group: tuple(found)}))
            held = self._locked(group)
            found = {number: gap for number, gap in found.items() if number not in held}
            gone = join([*self.state.removed.get(group, ()), *found.values()])
            removed = self.state.removed | {group: gone}
            self._publish(replace(self._following(), removed=removed, leaving={}))
        return sorted(found)

    def _store_now(self) -> float:
        with self._log.noticing_take_over(self.state.number):
            return self._access.objects.stat(names.entry(names.UPKEEP_GROUP, self.state.number)).modified

    # sweeping

    def sweep(self) -> SweepReport:
        """Delete what no kept point shows and no living session may still publish."""
        found = self._survey()
        doomed = found.doomed()[: self._limits.objects_deleted_max]
        self._access.objects.delete(found.expired)
        self._access.objects.delete([info.name for info in doomed])
        return SweepReport(
            objects=len(doomed),
            bytes=sum(info.size for info in doomed),
            holds_expired=len(found.expired),
            live_bytes=sum(found.marks.bytes.values()),
            lost=tuple(sorted(found.marks.lost)),
        )

    def _survey(self) -> Survey:
        with self._log.noticing_take_over(self.state.number):
            return survey(self._access, self.state, self._store_now())

    # compaction

    def compact(self) -> CompactReport:
        """Move live frames out of objects that are mostly dead, and out of removed points.

        A move of this session that was cut short, by a full disk for one, is finished first.
        """
        with self._log.noticing_take_over(self.state.number):
            self._finish_moves()
        found = self._survey()
        victims = found.sparse(self._limits.move_live_below)
        report = CompactReport()
        if self._compactor is None:
            uploads = Uploads(self._access.objects, self._access.sealer, threads=2, buffers=3)
            self._compactor = Compactor(self._access, uploads, self.session, self._salt)
        for batch in _batches(victims, found, self._limits):
            moves = self._compactor.move(batch, found.marks)
            if moves.tables:
                pending = {n: base64.b64encode(t.pack()).decode() for n, t in moves.tables.items()}
                self._publish(replace(self._following(), pending=pending))
                self._finish_moves()
            report = report.plus(moves)
        return report

    def _finish_moves(self) -> None:
        pending = self.state.pending
        if not pending:
            return
        builder = Builder(self._access.sealer, ENTRY_BYTES)
        for old, table in pending.items():
            name = names.moved(old)
            builder.begin(Kind.MOVED, Source(name, self._salt()))
            try:
                data = builder.finish(base64.b64decode(table))
                reserve.create(self._access.objects, name, data, reserve.UPKEEP_LEAVES)
            except Exists:
                continue  # an earlier session wrote it and died before it deleted the old object
        self._access.objects.delete(list(pending))
        self._publish(replace(self._following(), pending={}))

    def close(self) -> None:
        """End the session's threads."""
        if self._compactor is not None:
            self._compactor.close()
        self._builder.close()

    def __enter__(self) -> Upkeep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _batches(victims: list[str], found: Survey, limits: Limits) -> Iterable[list[str]]:
    batch: list[str] = []
    size = frames = 0
    for name in victims:
        batch.append(name)
        size += found.marks.bytes[name]
        frames += found.marks.frames[name].bit_count()
        if len(batch) >= limits.batch_objects or size >= limits.batch_bytes or frames >= limits.batch_frames:
            yield batch
            batch, size, frames = [], 0, 0
    if batch:
        yield batch
