"""A protected item of a vault: where it stands on each axis, and what may be asked of it.

How far an operation got, and whether it failed, is said by its job and not here: a failed job leaves the
item in the state in which the job is restarted, or the command is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from .machine import Machine
from .route import NOWHERE, Route
from .signs.disk import Disk


class Protection(StrEnum):
    """Where an item stands."""

    UNPROTECTED = "unprotected"
    ENABLING = "being enabled"
    SEEDING = "in initial replication"
    PROTECTED = "protected"
    FAILING_OVER = "failing over"
    FAILED_OVER = "failed over"
    CHANGING_POINT = "changing its point"
    CANCELLING = "cancelling its failover"
    COMMITTING = "committing"
    COMMITTED = "committed"
    REPROTECTING = "being reprotected"
    DISABLING = "being disabled"


class Side(StrEnum):
    """Which side's machine is the one that works."""

    PRIMARY = "primary"
    RECOVERY = "recovery"


class Move(StrEnum):
    """Is the machine changing sides, for as long as that can be taken back?"""

    NONE = "none"
    OVER = "over"
    HOME = "home"


class TestFailover(StrEnum):
    """Is a test under way?"""

    __test__ = False  # not a test of ours, says this to pytest

    NONE = "none"
    STARTING = "starting"
    RUNNING = "running"
    CLEANING = "being cleaned up"


class Resync(StrEnum):
    """Is the replica being made equal again?"""

    NONE = "none"
    RUNNING = "running"


class Command(StrEnum):
    """What somebody may ask of an item. Each is a job."""

    ENABLE = "enable"
    FINALIZE = "finalize"
    DISABLE = "disable"
    TEST_FAIL_OVER = "test failover"
    CLEAN_UP = "test clean-up"
    FAIL_OVER = "failover"
    CHANGE_POINT = "change of point"
    COMMIT = "commit"
    CANCEL = "cancelling of the failover"
    RESYNC = "resynchronisation"
    PLANNED_FAIL_OVER = "planned failover"
    REPROTECT = "reverse replication"
    FAIL_BACK = "failback"
    UPDATE = "update of target settings"
    FOLLOW_POLICY = "change of policy"


class Fact(StrEnum):
    """What became of it."""

    RELATED = "related"
    SEEDED = "seeded"
    ABANDONED = "abandoned"
    REMOVED = "removed"
    STARTED = "started"
    COMMITTED = "committed"
    LEFT_OPEN = "left open"
    CANCELLED = "cancelled"
    CAME_HOME = "came home"
    STAYED_AWAY = "stayed away"
    LET_BE = "let be"
    TEST_STARTED = "test started"
    CLEANED = "cleaned up"
    RESYNCED = "resynchronised"
    RESYNC_STOPPED = "resynchronisation stopped"


Word = Command | Fact
P, S, T, R, C, F = Protection, Side, TestFailover, Resync, Command, Fact

PROTECTION = Machine(
    name="protection",
    start=P.UNPROTECTED,
    table={
        (P.UNPROTECTED, C.ENABLE): P.ENABLING,
        (P.ENABLING, F.RELATED): P.SEEDING,
        (P.ENABLING, F.ABANDONED): P.UNPROTECTED,
        (P.ENABLING, C.DISABLE): P.DISABLING,
        (P.SEEDING, C.FINALIZE): P.SEEDING,
        (P.SEEDING, F.SEEDED): P.PROTECTED,
        (P.SEEDING, C.FOLLOW_POLICY): P.SEEDING,
        # Settings that kept it from being finalised are corrected, and that job is restarted.
        (P.SEEDING, C.UPDATE): P.SEEDING,
        (P.SEEDING, C.DISABLE): P.DISABLING,
        (P.PROTECTED, C.TEST_FAIL_OVER): P.PROTECTED,
        (P.PROTECTED, C.RESYNC): P.PROTECTED,
        (P.PROTECTED, C.DISABLE): P.DISABLING,
        (P.PROTECTED, C.FAIL_OVER): P.FAILING_OVER,
        (P.PROTECTED, C.PLANNED_FAIL_OVER): P.FAILING_OVER,
        (P.PROTECTED, C.UPDATE): P.PROTECTED,
        (P.PROTECTED, C.FOLLOW_POLICY): P.PROTECTED,
        (P.FAILING_OVER, F.STARTED): P.FAILED_OVER,
        (P.FAILING_OVER, F.ABANDONED): P.PROTECTED,
        (P.FAILING_OVER, C.CANCEL): P.CANCELLING,
        (P.FAILED_OVER, C.CANCEL): P.CANCELLING,
        (P.FAILED_OVER, C.CHANGE_POINT): P.CHANGING_POINT,
        (P.CHANGING_POINT, F.STARTED): P.FAILED_OVER,
        (P.CHANGING_POINT, C.CANCEL): P.CANCELLING,
        (P.CANCELLING, F.CANCELLED): P.PROTECTED,
        (P.FAILED_OVER, C.COMMIT): P.COMMITTING,
        (P.COMMITTING, F.COMMITTED): P.COMMITTED,
        (P.COMMITTING, F.LEFT_OPEN): P.FAILED_OVER,
        (P.COMMITTED, C.DISABLE): P.DISABLING,
        # Replicated from the side on which the machine works now, and from there back the same way.
        (P.COMMITTED, C.REPROTECT): P.REPROTECTING,
        (P.REPROTECTING, F.RELATED): P.SEEDING,
        (P.REPROTECTING, F.ABANDONED): P.COMMITTED,
        (P.REPROTECTING, C.DISABLE): P.DISABLING,
        (P.PROTECTED, C.FAIL_BACK): P.FAILING_OVER,
        (P.FAILING_OVER, F.CAME_HOME): P.FAILED_OVER,
        (P.CANCELLING, F.STAYED_AWAY): P.PROTECTED,
        # Home from a committed failover: what is replicated back for that goes with the failback.
        (P.COMMITTED, C.FAIL_BACK): P.FAILING_OVER,
        (P.FAILING_OVER, F.LET_BE): P.COMMITTED,
        (P.CANCELLING, F.LET_BE): P.COMMITTED,
        (P.DISABLING, F.REMOVED): P.UNPROTECTED,
    },
)

SIDE = Machine(
    name="the active side",
    start=S.PRIMARY,
    table={
        (S.PRIMARY, F.STARTED): S.RECOVERY,
        (S.RECOVERY, F.STARTED): S.RECOVERY,
        (S.PRIMARY, F.CANCELLED): S.PRIMARY,
        (S.RECOVERY, F.CANCELLED): S.PRIMARY,
        (S.PRIMARY, F.REMOVED): S.PRIMARY,
        (S.RECOVERY, F.REMOVED): S.PRIMARY,
        (S.RECOVERY, F.CAME_HOME): S.PRIMARY,
        (S.PRIMARY, F.STAYED_AWAY): S.RECOVERY,
        (S.RECOVERY, F.STAYED_AWAY): S.RECOVERY,
        (S.PRIMARY, F.LET_BE): S.RECOVERY,
        (S.RECOVERY, F.LET_BE): S.RECOVERY,
        # A machine goes over from home, and comes home from over there.
        (S.PRIMARY, C.FAIL_OVER): S.PRIMARY,
        (S.PRIMARY, C.PLANNED_FAIL_OVER): S.PRIMARY,
        (S.PRIMARY, C.TEST_FAIL_OVER): S.PRIMARY,
        (S.PRIMARY, C.RESYNC): S.PRIMARY,
        (S.PRIMARY, C.UPDATE): S.PRIMARY,
        (S.RECOVERY, C.FAIL_BACK): S.RECOVERY,
    },
)

MOVE = Machine(
    name="the change of sides",
    start=Move.NONE,
    table={
        (Move.NONE, C.FAIL_OVER): Move.OVER,
        (Move.NONE, C.PLANNED_FAIL_OVER): Move.OVER,
        (Move.NONE, C.FAIL_BACK): Move.HOME,
        (Move.NONE, F.ABANDONED): Move.NONE,
        (Move.OVER, F.ABANDONED): Move.NONE,
        (Move.HOME, F.ABANDONED): Move.NONE,
        (Move.OVER, F.STARTED): Move.OVER,
        (Move.HOME, F.CAME_HOME): Move.HOME,
        (Move.OVER, C.CHANGE_POINT): Move.OVER,
        (Move.OVER, F.CANCELLED): Move.NONE,
        (Move.HOME, F.STAYED_AWAY): Move.NONE,
        (Move.HOME, F.LET_BE): Move.NONE,
        (Move.OVER, F.COMMITTED): Move.NONE,
        (Move.HOME, F.COMMITTED): Move.NONE,
    },
)

TEST = Machine(
    name="the test failover",
    start=T.NONE,
    table={
        (T.NONE, C.TEST_FAIL_OVER): T.STARTING,
        (T.STARTING, F.TEST_STARTED): T.RUNNING,
        (T.STARTING, C.CLEAN_UP): T.CLEANING,
        (T.RUNNING, C.CLEAN_UP): T.CLEANING,
        (T.STARTING, F.CLEANED): T.NONE,
        (T.CLEANING, F.CLEANED): T.NONE,
        # A test stands on a point, and commit and disable remove points. A disaster does not wait for it.
        (T.NONE, C.COMMIT): T.NONE,
        (T.NONE, C.DISABLE): T.NONE,
        (T.NONE, C.PLANNED_FAIL_OVER): T.NONE,
    },
)

RESYNC = Machine(
    name="the resynchronisation",
    start=R.NONE,
    table={
        (R.NONE, C.RESYNC): R.RUNNING,
        (R.RUNNING, F.RESYNCED): R.NONE,
        (R.RUNNING, F.RESYNC_STOPPED): R.NONE,
    },
)

_IN_ORDER = {C.PLANNED_FAIL_OVER: True, F.CAME_HOME: True, C.FAIL_OVER: False}
_MOVE_ENDS = (F.COMMITTED, F.STAYED_AWAY, F.LET_BE, F.ABANDONED)
_OF_NO_POLICY = (P.UNPROTECTED, P.COMMITTED, P.DISABLING)

ONLY_TELLING = frozenset({C.UPDATE, C.FOLLOW_POLICY})
"""Commands that tell a side something, and leave an item where it stands."""

CARRY_POLICY = frozenset({C.ENABLE, C.REPROTECT, C.FOLLOW_POLICY})
"""Commands by which a host hears an item's policy as it is then."""

MACHINES = (PROTECTION, SIDE, MOVE, TEST, RESYNC)


@dataclass(frozen=True, slots=True)
class ProtectedItem:
    """A machine that a vault protects, or could. ``generation`` grows with each command that it accepts.

    ``version`` grows with each change, and is how a writer finds out that somebody was quicker. ``point`` is
    the recovery point that its machine was started from last. ``bound_for`` is the host to which it comes
    home, empty for the one that it left, and becomes the route's source with the commit. ``is_planned`` says
    that the last change of sides was a planned one. ``settings`` is what the recovery side keeps of what the
    machine is to be there, as JSON. ``mapping`` is the protection group that it was put into, empty for none.
    ``is_direct`` says of a machine that comes home that it was not replicated back before somebody asked for
    that. ``disks`` are those that its host named last.
    ``policy_revision`` is that of its policy when a host was last given it to follow. ``told`` counts
    the commands since the last one that was more than to tell something: a job that failed before them can
    be restarted.
    """

    id: str
    vault: str
    name: str
    protection: Protection = Protection.UNPROTECTED
    side: Side = Side.PRIMARY
    move: Move = Move.NONE
    test: TestFailover = TestFailover.NONE
    resync: Resync = Resync.NONE
    route: Route = NOWHERE
    point: str = ""
    bound_for: str = ""
    is_direct: bool = False
    is_planned: bool = False
    settings: str = ""
    mapping: str = ""
    disks: tuple[Disk, ...] = ()
    policy_revision: int = 0
    told: int = 0
    generation: int = 0
    version: int = 0

    @property
    def works_at(self) -> str:
        """Return the host on which the machine works, and from which it is replicated if it is."""
        return self.route.recovery if self.side is Side.RECOVERY else self.route.source

    def after(self, word: Word) -> ProtectedItem:
        """Return what the item is after a command or a fact, or refuse it."""
        is_elsewhere = bool(self.bound_for) and word is Fact.COMMITTED
        return replace(
            self,
            route=replace(self.route, source=self.bound_for) if is_elsewhere else self.route,
            bound_for="" if word in _MOVE_ENDS else self.bound_for,
            is_direct=self._is_direct(word),
            protection=PROTECTION.after(self.protection, word),
            side=SIDE.after(self.side, word),
            move=MOVE.after(self.move, word),
            test=TEST.after(self.test, word),
            resync=RESYNC.after(self.resync, word),
            is_planned=_IN_ORDER.get(word, self.is_planned),
            generation=self.generation + isinstance(word, Command),
            told=self._told(word),
        )

    def _told(self, word: Word) -> int:
        if isinstance(word, Fact):
            return self.told
        return self.told + 1 if word in ONLY_TELLING else 0

    def _is_direct(self, word: Word) -> bool:
        if word is Command.FAIL_BACK:
            return self.protection is Protection.COMMITTED
        return self.is_direct and word not in _MOVE_ENDS

    def owes(self, revision: int) -> bool:
        """Is the host that replicates it still to hear of a policy of that revision, now or later?"""
        return self.policy_revision != revision and self.protection not in _OF_NO_POLICY

    def can_restart(self, generation: int, command: Command) -> bool:
        """May a job that failed go on, whose command was the item's of a generation?

        What only tells something is not told again after something newer.
        """
        since = self.generation - generation
        return since == 0 or (command not in ONLY_TELLING and 0 < since <= self.told)

    def allowed(self) -> tuple[Command, ...]:
        """Return the commands that the item would accept now."""
        return _allowed(self.protection, self.side, self.move, self.test, self.resync)


@cache
def _allowed(
    protection: Protection, side: Side, move: Move, test: TestFailover, resync: Resync
) -> tuple[Command, ...]:
    # Asked of every item of every list, and there are far fewer standings than items.
    return tuple(
        command
        for command in Command
        if PROTECTION.accepts(protection, command)
        and SIDE.accepts(side, command)
        and MOVE.accepts(move, command)
        and TEST.accepts(test, command)
        and RESYNC.accepts(resync, command)
    )
