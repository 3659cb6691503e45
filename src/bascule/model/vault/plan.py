"""Recovery plans: machines in groups, one after another, with actions around each group (R-PL-1).

A plan begins with the group that shuts machines down and the one that fails them over, which have actions
only; machines are in the groups behind them, which start them: together inside a group, groups in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bascule.model.errors import Refused

from .fabric import check_name
from .item import Command, Move, Side
from .sides.pairing import AZURE

OCCASIONS = (Command.TEST_FAIL_OVER, Command.PLANNED_FAIL_OVER, Command.FAIL_OVER)
"""What a plan runs, and so what actions may be limited to."""
DIRECTIONS = (Move.OVER, Move.HOME)
_TEXT_MAX = 4096
_TIMEOUT_MAX = 86400


class GroupKind(StrEnum):
    """What is done with the machines of a group."""

    SHUT_DOWN = "shut down"
    FAIL_OVER = "fail over"
    BOOT = "boot"


class ActionKind(StrEnum):
    """Who does what an action says."""

    MANUAL = "manual"
    SCRIPT = "script"
    RUNBOOK = "runbook"


@dataclass(frozen=True, slots=True)
class PlanAction:
    """Something that is done before or after a group.

    ``text`` tells a person what to do, or names the script or the runbook; ``side`` is where that runs. It is
    done on the ``occasions`` and in the ``directions`` that are named.
    """

    name: str
    kind: ActionKind
    text: str
    occasions: tuple[Command, ...] = OCCASIONS
    directions: tuple[Move, ...] = DIRECTIONS
    timeout_seconds: int = 0
    side: Side = Side.RECOVERY

    def __post_init__(self) -> None:
        what = f"action {self.name[:64]!r}"
        if not self.name.strip() or len(self.name) > 64:
            raise _bad(f"{what} has no name that can be shown", "name it by 1 to 64 characters")
        if (self.kind is not ActionKind.MANUAL and not self.text) or len(self.text) > _TEXT_MAX:
            raise _bad(f"{what} does not say which {self.kind}", "name it, by 4096 characters at most")
        if not self.occasions or not set(self.occasions) <= set(OCCASIONS):
            raise _bad(
                f"{what} is for no failover that a plan runs", "name test, planned or unplanned failover"
            )
        if not self.directions or not set(self.directions) <= set(DIRECTIONS):
            raise _bad(f"{what} is for no direction", "name one, or both")
        if not 0 <= self.timeout_seconds <= _TIMEOUT_MAX:
            raise _bad(f"{what} may take {self.timeout_seconds} s", "allow a day at most")


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Items by their ids, and what is done before and after them."""

    kind: GroupKind
    items: tuple[str, ...] = ()
    before: tuple[PlanAction, ...] = ()
    after: tuple[PlanAction, ...] = ()

    def __post_init__(self) -> None:
        if self.items and self.kind is not GroupKind.BOOT:
            raise _bad(f"the group to {self.kind} names machines", "put them into groups that boot")
        names = [action.name.casefold() for action in (*self.before, *self.after)]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise _bad(f"a group has two actions called {twice}", "give each a name of its own")


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """Which machines of a site go over in which order; ``leads_to`` is a site, *Microsoft Azure* for any."""

    vault: str
    id: str
    primary: str
    leads_to: str
    groups: tuple[PlanGroup, ...]

    def __post_init__(self) -> None:
        check_name(self.id, "a recovery plan")
        kinds = [group.kind for group in self.groups]
        if kinds[:2] != [GroupKind.SHUT_DOWN, GroupKind.FAIL_OVER] or set(kinds[2:]) != {GroupKind.BOOT}:
            raise _bad(
                f"plan {self.id} is not one to shut down, to fail over, and then to boot",
                "name groups that boot, at least one, behind the two others or alone",
            )
        items = [item for group in self.groups for item in group.items]
        twice = next((item for item in items if items.count(item) > 1), "")
        if twice:
            raise _bad(f"{twice} is in plan {self.id} twice", "put it into one group")

    @property
    def items(self) -> tuple[str, ...]:
        """The ids of its items, in the order in which they boot."""
        return tuple(item for group in self.groups for item in group.items)

    @classmethod
    def of(
        cls, vault: str, id: str, primary: str, groups: Iterable[PlanGroup], leads_to: str = AZURE
    ) -> RecoveryPlan:
        """Return a plan; the two groups that each plan begins with are put before what does not name them."""
        said = tuple(groups)
        first = tuple(
            next((one for one in said if one.kind is kind), PlanGroup(kind))
            for kind in (GroupKind.SHUT_DOWN, GroupKind.FAIL_OVER)
        )
        named = [one.kind for one in said if one.kind is not GroupKind.BOOT]
        if len(named) != len(set(named)):
            raise _bad(f"plan {id} shuts down or fails over twice", "name each of these groups once")
        boots = tuple(one for one in said if one.kind is GroupKind.BOOT)
        return cls(vault, id, primary, leads_to, (*first, *boots))


def _bad(why: str, cure: str) -> Refused:
    return Refused(why, cure=cure, code="bad-plan")
