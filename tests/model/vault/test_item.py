"""What may be asked of an item, from the tables."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import pytest

from bascule.model.errors import Refused
from bascule.model.vault.item import (
    MACHINES,
    Command,
    Fact,
    Move,
    ProtectedItem,
    Protection,
    Side,
    TestFailover,
)
from bascule.model.vault.machine import Machine

ROOT = Path(__file__).parents[3]
PROTECTED = ProtectedItem("i", "v", "web", Protection.PROTECTED)


def reached() -> set[ProtectedItem]:
    """Return every standing that commands and facts lead to from the beginning."""
    found, ahead = set(), [ProtectedItem("i", "v", "web")]
    while ahead:
        item = ahead.pop()
        if item not in found:
            found.add(item)
            ahead.extend(neighbours(item))
    return found


def neighbours(item: ProtectedItem) -> Iterator[ProtectedItem]:
    for word in (*Command, *Fact):
        try:
            yield replace(item.after(word), generation=0, told=0)
        except Refused:
            continue


def test_an_item_that_nobody_protects_can_only_be_enabled() -> None:
    assert ProtectedItem("i", "v", "web").allowed() == (Command.ENABLE,)


def test_a_protected_item_can_be_tested_failed_over_resynchronised_and_disabled() -> None:
    assert set(PROTECTED.allowed()) == {
        Command.DISABLE,
        Command.TEST_FAIL_OVER,
        Command.FAIL_OVER,
        Command.PLANNED_FAIL_OVER,
        Command.RESYNC,
        Command.UPDATE,
        Command.FOLLOW_POLICY,
    }


def test_a_machine_that_went_over_is_replicated_back_and_comes_home() -> None:
    """R-HV-1, R-HV-3, R-FB-8."""
    away = PROTECTED.after(Command.PLANNED_FAIL_OVER).after(Fact.STARTED)
    away = away.after(Command.COMMIT).after(Fact.COMMITTED)
    assert set(away.allowed()) == {Command.REPROTECT, Command.DISABLE, Command.FAIL_BACK}
    back = away.after(Command.REPROTECT).after(Fact.RELATED).after(Fact.SEEDED)
    assert set(back.allowed()) == {Command.FAIL_BACK, Command.DISABLE, Command.FOLLOW_POLICY}
    pending = back.after(Command.FAIL_BACK).after(Fact.CAME_HOME)
    assert (pending.side, set(pending.allowed())) == (Side.PRIMARY, {Command.COMMIT, Command.CANCEL})
    stayed = pending.after(Command.CANCEL).after(Fact.STAYED_AWAY)
    assert (stayed.side, stayed.protection) == (Side.RECOVERY, Protection.PROTECTED)
    home = pending.after(Command.COMMIT).after(Fact.COMMITTED)
    assert set(home.allowed()) == {Command.REPROTECT, Command.DISABLE}
    assert home.after(Command.REPROTECT).after(Fact.RELATED).after(Fact.SEEDED).side is Side.PRIMARY


def test_a_disaster_does_not_wait_for_a_test_but_removal_of_points_does() -> None:
    testing = replace(PROTECTED, test=TestFailover.RUNNING)
    assert Command.FAIL_OVER in testing.allowed()
    assert Command.DISABLE not in testing.allowed()
    over = testing.after(Command.FAIL_OVER).after(Fact.STARTED)
    assert Command.COMMIT not in over.allowed()
    with pytest.raises(Refused, match="the test failover is running: no commit now"):
        over.after(Command.COMMIT)


def test_the_active_side_changes_with_the_machine_that_starts_and_back_with_a_cancel() -> None:
    over = PROTECTED.after(Command.FAIL_OVER).after(Fact.STARTED)
    assert over.side is Side.RECOVERY
    assert over.after(Command.CANCEL).after(Fact.CANCELLED).side is Side.PRIMARY


def test_every_command_makes_a_generation_and_no_fact_does() -> None:
    begun = PROTECTED.after(Command.FAIL_OVER)
    assert begun.generation == PROTECTED.generation + 1
    assert begun.after(Fact.STARTED).generation == begun.generation


def test_something_can_be_asked_of_an_item_wherever_it_stands_or_a_job_of_it_goes_on() -> None:
    only_forward = {Protection.CANCELLING, Protection.COMMITTING, Protection.DISABLING}
    stuck = {item for item in reached() if not item.allowed() and item.protection not in only_forward}
    assert not stuck


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_of_a_table_can_be_reached(machine: Machine[StrEnum]) -> None:
    known = {machine.start}
    for _ in machine.table:
        known |= {after for (state, _), after in machine.table.items() if state in known}
    assert known == set(type(machine.start))


def test_the_page_of_states_is_drawn_from_the_tables() -> None:
    page = runpy.run_path(str(ROOT / "scripts/states"))["page"]()
    assert (ROOT / "docs/states.md").read_text() == page, "run .venv/bin/python scripts/states"


def test_a_failback_right_after_the_commit_leaves_the_item_committed_when_it_is_taken_back() -> None:
    """R-HV-1."""
    away = PROTECTED.after(Command.FAIL_OVER).after(Fact.STARTED)
    away = away.after(Command.COMMIT).after(Fact.COMMITTED)
    begun = away.after(Command.FAIL_BACK)
    assert (begun.is_direct, begun.move) == (True, Move.HOME)
    home = begun.after(Fact.CAME_HOME)
    for let_be in (begun.after(Fact.LET_BE), home.after(Command.CANCEL).after(Fact.LET_BE)):
        assert (let_be.protection, let_be.side) == (Protection.COMMITTED, Side.RECOVERY)
        assert (let_be.move, let_be.is_direct) == (Move.NONE, False)
    stays = home.after(Command.COMMIT).after(Fact.COMMITTED)
    assert (stays.protection, stays.side, stays.is_direct) == (Protection.COMMITTED, Side.PRIMARY, False)
    assert Command.FAIL_BACK not in stays.allowed()
