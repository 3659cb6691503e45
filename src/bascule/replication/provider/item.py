"""One protected item, a step at a time: hear the wish, do the next thing that is due, say what is so.

Nothing in memory matters: a step that is killed is taken again by the next process, which finds out where
things stand from the wish, the store and the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bascule.data.pipeline.flow.crew import Cancel
from bascule.data.pipeline.flow.throttle import Throttle
from bascule.data.store import DiskKey, PointInfo
from bascule.model.errors import BasculeError, Cancelled, Fenced, Missing, Off, Refused, Unavailable
from bascule.model.generations import family
from bascule.model.health import Level
from bascule.model.hours import Hours
from bascule.model.items import Mark, State, Trouble, Wish, name_of
from bascule.model.notes import from_text
from bascule.model.policies import OFF
from bascule.ports.machines import Recorded
from bascule.replication.members import Member
from bascule.replication.quiesce import Around, Quiesce
from bascule.replication.replicator import Cycled, Names, Replicator, Rules, World, unprepared

from .folder import ItemFolder
from .ledger import Ledger
from .outcome import disk_changes, is_half_changed, of_cycle, scarcity
from .owner import Foreign, Owner, signed
from .stillness import Stillness
from .workshop import Own, Workshop

# How long an item that waits for a person, or for its hours, sleeps; a changed wish wakes it.
REST_SECONDS = 60.0
_OFF_SECONDS = (5.0, 30.0)
# Memory is kept between cycles of quick and small ones only: a hundred machines share a host.
_QUICK_SECONDS = 5
_QUICK_BYTES = 32 << 20
_ROOM_LEAST = 8 << 20
# Of a machine of a cluster that is found after one of these nobody can say that it was away meanwhile.
_HERE = (State.SEEDING, State.REPLICATING, State.RESYNCING, State.FENCED)

T = TypeVar("T")


class ResyncDeferred(Refused):
    """Disks would have to be compared whole, and it is not the time for it."""

    code = "resync-deferred"


class Item:
    """A group being kept replicated. One thread steps; any thread interrupts."""

    def __init__(self, folder: ItemFolder, shop: Workshop) -> None:
        self.folder = folder
        self._shop = shop
        self._ledger = Ledger(folder, shop.clock)
        self._cancel = Cancel()
        self._wish: Wish | None = None
        self._left: Wish | None = None
        self._stamp: tuple[int, int] | None = None
        self._replicator: Replicator | None = None
        self._lent = ExitStack()
        self._owner: Owner | None = None
        self._stillness: Stillness | None = None
        self._due: float | None = None
        # When what failed is tried again, by the clock that nobody sets; None for at once.
        self._retry_at: float | None = None
        self._trying_since: float | None = None
        self._is_over = False
        self._line: Throttle | None = None
        facts = self._ledger.facts
        self._has_come = facts.newest is None or facts.state not in _HERE

    @property
    def heard(self) -> tuple[int, int] | None:
        """Return the stamp of the wish that the last step obeyed."""
        return self._stamp

    @property
    def is_heavy(self) -> bool:
        """Will the next step move a lot? Then it must not keep those from their turn that move little."""
        facts = self._ledger.facts
        return (
            facts.newest is None or facts.mark is not None or facts.state in (State.SEEDING, State.RESYNCING)
        )

    def interrupt(self, *, for_good: bool = False) -> None:
        """End a transfer under way between two units, from any thread."""
        self._is_over = self._is_over or for_good
        self._cancel.request()

    def watch(self) -> None:
        """Note what time alone has brought about."""
        if self._wish is not None and not self._wish.is_paused:
            self._ledger.watch(self._wish)

    def step(self) -> float | None:
        """Do what is due; return in how many seconds there is more to do, None if nobody wants it now."""
        try:
            wish = self._hear()
            if self._is_over:
                return REST_SECONDS
            if wish is None:
                self._leave()
                return None
            if (rest := self._rest(wish)) is not None:
                return rest
            return self._attempt(wish)
        except Cancelled:
            self._ledger.put(headway=None)
            return 0.0
        except BasculeError as error:
            return self._failed(error)

    def _hear(self) -> Wish | None:
        self._cancel = (
            Cancel()
        )  # before the look: an interruption that comes after it is about something newer
        stamp = self.folder.stamp()
        if stamp != self._stamp or self._wish is None:
            wish = self.folder.wish()
            self.close()
            self._left = self._wish
            self._wish, self._stamp = wish, stamp
            if wish is not None:
                self._obey(wish)
        return self._wish

    def _leave(self) -> None:
        """Nobody wants the item any more: take what records its changes away, and all that is kept of it."""
        self.close()
        if self._left is not None:
            release(self._left, self.folder, self._shop)

    def _obey(self, wish: Wish) -> None:
        """A wish that is new to the facts ends what waited for it."""
        self._due = self._retry_at = self._trying_since = None
        self._line = self._shop.throttle_of(wish.policy.limit)
        facts = self._ledger.facts
        if wish.generation == facts.generation:
            return
        self._ledger.put(generation=wish.generation, trouble=None)
        if wish.resync > facts.resynced and facts.newest is not None:
            self._ledger.mark(Mark.ASKED)

    def _rest(self, wish: Wish) -> float | None:
        """Return how long there is nothing to do, None if there is."""
        facts = self._ledger.facts
        if wish.is_paused:
            return self._rest_as(State.PAUSED)
        if wish.hand_over:
            return self._rest_as(State.HANDED_OVER)
        if facts.state is State.FENCED and facts.fenced_by != wish.take_over:
            return self._rest_fenced(wish)
        if facts.trouble is not None and (left := self._until_retry(facts.trouble, wish)) > 0:
            return left
        if facts.mark is not None and not self._may_resync(wish):
            return self._rest_as(State.WAITING)
        return None

    def _rest_fenced(self, wish: Wish) -> float:
        """A machine that left for another host of its cluster is not here, and may come back."""
        if wish.cluster:
            for _, words, room in places(wish, self.folder):
                try:
                    _sought(wish, partial(self._shop.adopt, words, room)).close()
                except Off:
                    return self._off(wish)
                except Unavailable:
                    break
        return REST_SECONDS

    def _rest_as(self, state: State) -> float:
        self._trying_since = None
        if self._ledger.facts.state is not state:
            self.close()
            self._ledger.put(state=state, headway=None)
        return REST_SECONDS

    def _until_retry(self, trouble: Trouble, wish: Wish) -> float:
        """A process that has just begun tries at once what passes by itself, and only that."""
        if trouble.next_try_at is None:
            return REST_SECONDS if trouble.generation == wish.generation else 0.0
        return 0.0 if self._retry_at is None else self._retry_at - self._shop.clock.monotonic()

    def _may_resync(self, wish: Wish) -> bool:
        """Hours are for what has a point: before its first nothing protects it, though somebody asked."""
        facts = self._ledger.facts
        asked = facts.newest is None or wish.resync > facts.resynced
        hours, now = Hours.parse(wish.policy.resync_hours), self._shop.clock.now()
        return asked or hours.covers(self._shop.local_time(now))

    def _attempt(self, wish: Wish) -> float:
        """Make a point, or see that none is needed."""
        clock = self._shop.clock
        begun, started = clock.monotonic(), clock.now()
        if self._trying_since is None:
            self._trying_since = started
        replicator = self._replicator or self._open(wish)
        was_open = bool(replicator.session)
        try:
            if self._is_idle(replicator, wish):
                totals = self._ledger.facts.totals
                totals = replace(totals, idle_cycles=totals.idle_cycles + 1)
                self._ledger.put(safe_as_of=started, totals=totals, trouble=None, state=State.REPLICATING)
            elif was_open and self._ledger.facts.mark is not None:
                self.close()
                return 0.0  # a session that believes nothing has to begin
            else:
                self._cycle(replicator, wish)
        except Cancelled:
            raise
        except BasculeError as error:
            self.close()
            if was_open and not isinstance(error, Fenced | ResyncDeferred):
                return 0.0  # a new session may be all it takes: it finds out where things stand
            return self._failed(error)
        self._trying_since = None
        every = wish.policy.interval_seconds
        due = begun if self._due is None or begun - self._due > every else self._due
        self._due = max(due + every, clock.monotonic())
        return self._due - clock.monotonic()

    def _is_idle(self, replicator: Replicator, wish: Wish) -> bool:
        """Has the machine written nothing since the newest point, and is that point young enough?"""
        facts = self._ledger.facts
        found = replicator.recorded()
        if found is None or facts.newest is None or self._must_resync(found):
            return False
        if self._stillness is not None and self._stillness.is_due:
            return False
        found = {disk: told for disk, told in found.items() if wish.wants(*disk)}
        known = [disk for disk in found.values() if disk.changed_bytes is not None]
        age = self._shop.clock.now() - facts.newest.captured_at
        shown = {(disk.machine, disk.id): disk.size_bytes for disk in facts.disks if disk.is_protected}
        is_same = shown == {disk: told.size_bytes for disk, told in found.items()}
        is_still = len(known) == len(found) and not any(disk.changed_bytes for disk in known)
        return is_same and is_still and 0 <= age < wish.policy.idle_point_seconds

    def _must_resync(self, recorded: Mapping[DiskKey, Recorded]) -> bool:
        """Mark the item if records say so (R-R-2), unless it is marked; tell whether it is now."""
        wish = self._wish
        wanted = [told for disk, told in recorded.items() if wish is None or wish.wants(*disk)]
        if is_half_changed(wanted):
            self._ledger.mark(Mark.TOO_MUCH)
        return self._ledger.facts.mark is not None

    def _cycle(self, replicator: Replicator, wish: Wish) -> None:
        facts = self._ledger.facts
        if facts.mark is not None:
            self._ledger.put(state=State.RESYNCING)
        elif facts.newest is None:
            self._ledger.put(state=State.SEEDING)
        self._look_at_room()
        done: Cycled = replicator.cycle()
        is_quick = facts.newest is not None and wish.policy.interval_seconds <= _QUICK_SECONDS
        if not is_quick or done.copied.read_bytes > _QUICK_BYTES:
            replicator.rest()
        if self._owner is not None:
            self._owner.settle(replicator.session)
            self._has_come = False
            if self._owner.followed:
                self._ledger.note("came-here", Level.HEALTHY, message=f"after {self._owner.followed}")
                self._owner.followed = ""
        resynced = wish.resync if facts.mark is not None or done.compared else facts.resynced
        after = of_cycle(self._ledger.facts, done, replicator.session)
        if facts.disks:
            for event, disk in disk_changes(facts.disks, after["disks"]):
                self._ledger.note(event, Level.HEALTHY, message=f"{disk.machine}/{disk.id}")
        self._ledger.put(**after, resynced=resynced)

    def _look_at_room(self) -> None:
        """R-P-3: what machines overwrite needs room; without any there is no point in beginning."""
        free = self._shop.free_bytes(self.folder.room)
        self._ledger.put(room_bytes=free)
        if free < _ROOM_LEAST:
            raise Unavailable(
                f"{free >> 20} MiB are free in {self.folder.room}, where a machine's fleece would grow",
                cure="make room on that file system",
                code="low-room",
            )

    def _open(self, wish: Wish) -> Replicator:
        """Fit out a replicator; it begins its session with its first cycle."""
        owner = self._owner = Owner(self.folder.owner, wish.cluster, has_come=self._has_come)
        vault = self._lent.enter_context(self._shop.vault(wish.store, wish.key_file))
        head = vault.log(wish.group).head()
        is_mates = head is not None and owner.is_mate(
            head.entry
        )  # of those only one with the machine may say
        if head is not None and head.entry.session != wish.take_over and not is_mates:
            owner.check(head.entry)  # said at once, not when the machine is back that somebody took over

        def may_compare(_disks: object) -> None:
            if self._ledger.facts.mark is None:
                self._ledger.mark(Mark.TRACKING_LOST)
            if not self._may_resync(wish):
                raise ResyncDeferred(
                    "what changed on a disk is not known, and now is not the time to compare"
                )
            self._ledger.put(state=State.RESYNCING)

        def sees(recorded: Mapping[DiskKey, Recorded]) -> None:
            if self._ledger.facts.mark is None and self._must_resync(recorded):
                raise ResyncDeferred("so much changed while nobody could look that disks are to be compared")

        still = self._stillness = self._stilled(wish)
        rules = Rules(
            owner.claim(wish.take_over),
            may_compare,
            sees,
            self._believes,
            lambda disk: wish.wants(*disk),
            still.around if still is not None else unprepared,
        )
        own = Own(wish.group, self._line, wish.policy.workers)
        world = World(
            vault,
            self._shop.clock,
            self._shop.open_source,
            lambda: self._shop.conduct(self._cancel, self._ledger.headway, own),
            rules,
            self._shop.segments_bytes // self._shop.threads,
        )
        members = [
            Member(
                name,
                partial(_sought, wish, partial(self._shop.adopt, words, room)),
                partial(_sought, wish, partial(self._shop.definition, words)),
            )
            for name, words, room in places(wish, self.folder)
        ]
        names = Names(wish.group, signed(wish.cluster, self._shop.who))
        self._replicator = Replicator(world, members, names)
        return self._replicator

    def _stilled(self, wish: Wish) -> Stillness | None:
        """Bring to an end what a dead process began with the guests, and fit out what freezes them."""
        policy, commands = wish.policy, self._shop.commands
        if commands is None:
            return None
        agents = {
            name: self._shop.agent(words, room, policy.agent)
            for name, words, room in places(wish, self.folder)
            if policy.agent != OFF
        }
        around = Around(
            wish.group,
            self.folder.path / "after-is-owed",
            commands,
            policy.before,
            policy.after,
            policy.applications,
        )
        return Stillness(wish, Quiesce(around, agents), self._ledger, self._shop.clock)

    def _believes(self) -> bool:
        return self._ledger.facts.mark in (None, Mark.TRACKING_LOST)

    def fault(self, error: Exception) -> float:
        """Stop after an error that nobody foresaw, until somebody says otherwise; wait for what is scarce.

        Returns in how many seconds there is more to do.
        """
        what = scarcity(error) or BasculeError(
            f"an error that nobody foresaw: {type(error).__name__}: {error}",
            cure="report it with the provider's log; `bascule resume` tries again",
            code="bug",
        )
        return self._failed(what)

    def _failed(self, error: BasculeError) -> float:
        """Sort an error: nobody's mistake, one that passes, or one for a person."""
        self.close()
        clock, wish = self._shop.clock, self._wish
        begun, self._trying_since = self._trying_since, None
        generation = wish.generation if wish else 0
        if isinstance(error, ResyncDeferred):
            # Store and machine answered, so what went wrong before is mended.
            self._ledger.put(state=State.WAITING, headway=None, trouble=None)
            return 0.0 if wish is not None and self._may_resync(wish) else REST_SECONDS
        if isinstance(error, Off):
            return self._off(wish)
        if isinstance(error, Fenced):
            return self._fenced(error)
        begun = clock.now() if begun is None else begun
        trouble = self._ledger.failed(error, begun, generation).trouble
        if trouble is None or trouble.next_try_at is None:
            return REST_SECONDS
        left = max(0.0, trouble.next_try_at - clock.now())
        self._retry_at = clock.monotonic() + left
        return left

    def _off(self, wish: Wish | None) -> float:
        """Wait for a machine that is off here, or that another host of its cluster has."""
        self._has_come = True
        state = State.ELSEWHERE if wish is not None and self._is_mates(wish) else State.OFF
        self._ledger.put(state=state, headway=None, trouble=None)
        low, high = _OFF_SECONDS
        return min(max(low, wish.policy.interval_seconds if wish else high), high)

    def _is_mates(self, wish: Wish) -> bool:
        if not wish.cluster:
            return False
        with suppress(BasculeError):  # of a store that is away nothing is known
            with self._shop.vault(wish.store, wish.key_file) as vault:
                head = vault.log(wish.group).head()
            return head is not None and Owner(self.folder.owner, wish.cluster).is_mate(head.entry)
        return self._ledger.facts.state is State.ELSEWHERE

    def _fenced(self, error: Fenced) -> float:
        """Stop for good, if it was somebody else: the next beginning would say so too, whoever begins it."""
        if not isinstance(error, Foreign):
            return 0.0  # the claim of the next session looks at who it was
        self._has_come = False
        self._ledger.note("fenced", Level.CRITICAL, message=error.message)
        self._ledger.put(
            state=State.FENCED, fenced_by=error.session, fenced_by_writer=error.writer, headway=None
        )
        return REST_SECONDS

    def close(self) -> None:
        """Let go of the machine, the group and the store; safe to call twice."""
        if self._replicator is not None:
            self._replicator.close()
            self._replicator = None
        self._lent.close()


def _sought(wish: Wish, look: Callable[[], T]) -> T:
    """Look for a machine; one that a host of a cluster does not know is on another one (R-R-3)."""
    try:
        return look()
    except Missing as error:
        if not wish.cluster:
            raise
        raise Off(error.message, cure=error.cure) from error


def places(wish: Wish, folder: ItemFolder) -> Iterator[tuple[str, str, Path]]:
    """Yield of each machine the name that it is kept under, its words, and its room.

    One alone is called as its group, several as their words end. A group that changed sides has a
    new name, its machines have not; what they were called when they were taken over the wish says.
    """
    if len(wish.machines) == 1:
        yield family(wish.group), wish.machines[0], folder.room
        return
    called = wish.called or tuple(map(name_of, wish.machines))
    for name, words in zip(called, wish.machines, strict=True):
        yield name, words, folder.room / name


def called_at(point: PointInfo, machines: Sequence[str]) -> tuple[str, ...]:
    """Return what machines are called in a point that may have been given other names on this host."""
    notes = {machine.id: from_text(machine.definition).machine for machine in point.machines}
    known = {note.name: machine for machine, note in notes.items() if note is not None}
    return tuple(known.get(name_of(words), name_of(words)) for words in machines)


def release(wish: Wish, folder: ItemFolder, shop: Workshop) -> None:
    """Leave nothing of ours at a machine that is not protected any more (R-P-6); one that is off keeps it.

    One that its host does not know any more has nothing of ours left.
    """
    for _, words, room in places(wish, folder):
        agent = shop.agent(words, room, wish.policy.agent) if wish.policy.agent != OFF else None
        with suppress(Unavailable):
            if agent is not None:
                agent.settle()
        with suppress(Unavailable, Missing):
            machine = shop.adopt(words, room)
            try:
                machine.settle({})
            finally:
                machine.close()
    folder.remove()
