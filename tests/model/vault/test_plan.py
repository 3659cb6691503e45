"""Recovery plans: what is one, and what is put into order by itself (R-PL-1)."""

from __future__ import annotations

from typing import Any

import pytest

from bascule.model.errors import Refused
from bascule.model.vault.item import Command
from bascule.model.vault.plan import ActionKind, GroupKind, PlanAction, PlanGroup, RecoveryPlan

CHECK = PlanAction("check", ActionKind.MANUAL, "is the database up?")


def plan(*groups: PlanGroup) -> RecoveryPlan:
    return RecoveryPlan.of("north", "all", "site-1", groups)


def test_a_plan_shuts_down_and_fails_over_before_it_boots() -> None:
    made = plan(PlanGroup(GroupKind.BOOT, ("web",)), PlanGroup(GroupKind.FAIL_OVER, after=(CHECK,)))
    assert [group.kind for group in made.groups] == list(GroupKind)
    assert made.groups[1].after == (CHECK,)
    many = plan(*(PlanGroup(GroupKind.BOOT, tuple(f"i{n}.{m}" for m in range(20))) for n in range(10)))
    assert len(many.items) == 200, "there is no limit of groups or machines"


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ([], "is not one to shut down"),
        ([PlanGroup(GroupKind.FAIL_OVER)], "is not one to shut down"),
        ([PlanGroup(GroupKind.BOOT, ("web",)) for _ in "ab"], "web is in plan all twice"),
        ([*(PlanGroup(GroupKind.FAIL_OVER) for _ in "ab"), PlanGroup(GroupKind.BOOT)], "fails over twice"),
    ],
)
def test_what_is_no_plan_is_refused(groups: list[PlanGroup], why: str) -> None:
    with pytest.raises(Refused, match=why):
        plan(*groups)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": " "}, "has no name"),
        ({"kind": ActionKind.SCRIPT, "text": ""}, "does not say which script"),
        ({"text": "x" * 5000}, "does not say"),
        ({"occasions": (Command.COMMIT,)}, "no failover that a plan runs"),
        ({"occasions": ()}, "no failover that a plan runs"),
        ({"directions": ()}, "no direction"),
        ({"timeout_seconds": 10**6}, "may take"),
    ],
)
def test_what_is_no_action_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        PlanAction(**{"name": "check", "kind": ActionKind.MANUAL, "text": "", **fields})


def test_machines_are_in_groups_that_boot_and_actions_have_names_of_their_own() -> None:
    with pytest.raises(Refused, match="names machines"):
        PlanGroup(GroupKind.SHUT_DOWN, ("web",))
    with pytest.raises(Refused, match="two actions called check"):
        PlanGroup(GroupKind.BOOT, before=(CHECK,), after=(CHECK,))
