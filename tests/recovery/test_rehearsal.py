"""Test failover beside the real thing: isolated, repeatable, and nothing is left of it (R-FO-1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.recovery.fail_over import fail_over
from bascule.recovery.record import Phase
from bascule.recovery.rehearsal import clean_up, rehearse, rehearsed
from bascule.recovery.shapes.asked import Asked
from bascule.recovery.shapes.shape import Shape
from tests.recovery.worlds import GROUP, Died, World

APART = Shape((Asked(network="test"),), suffix="-test")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_copies_run_cut_off_while_replication_goes_on(world: World) -> None:
    head = next(world.vault.log(GROUP).numbers())
    record = rehearse(world.site(), GROUP, APART)
    assert world.running() == world.at(record.number, "-test")
    assert world.host.definition("db-test").hardware.nics[0].network == "test"
    assert next(world.vault.log(GROUP).numbers()) == head
    assert world.vault.groups() == [GROUP]
    world.publish()


def test_clean_up_removes_all_of_it_and_keeps_the_notes(world: World) -> None:
    record = rehearse(world.site(), GROUP, APART, world.numbers()[0])
    cleaned = clean_up(world.site(), GROUP, "it booted", world.clock)
    assert cleaned is not None
    assert cleaned.number == record.number == world.numbers()[0]
    assert clean_up(world.site(), GROUP, "", world.clock) is None
    assert world.is_empty()
    (test,) = rehearsed(world.site(), GROUP)
    assert (test.at, test.point, test.notes) == (world.clock.now(), record.number, "it booted")


def test_a_test_counts_only_when_nothing_of_it_is_left(world: World) -> None:
    rehearse(world.site(), GROUP, APART)
    assert rehearsed(world.site(), GROUP) == []
    world.dies_at(3)
    with pytest.raises(Died):
        clean_up(world.site(), GROUP, "first look", world.clock)
    world.lives()
    assert rehearsed(world.site(), GROUP) == []
    clean_up(world.site(), GROUP, "", world.clock)
    assert [test.notes for test in rehearsed(world.site(), GROUP)] == [""]
    for turn in range(2):
        rehearse(world.site(), GROUP, APART)
        clean_up(world.site(), GROUP, f"again {turn}", world.clock)
    assert [test.notes for test in rehearsed(world.site(), GROUP)] == ["", "again 0", "again 1"]


def test_asked_again_after_the_host_was_down_the_copies_run_again(world: World) -> None:
    record = rehearse(world.site(), GROUP, APART)
    world.host.lose_power()
    world.serving.up.clear()
    assert rehearse(world.site(), GROUP, APART) == record
    assert world.running() == world.at(record.number, "-test")
    assert all(world.serving.is_up(folder) for folder in world.serving.kept)


def test_a_test_and_a_failover_do_not_meet(world: World) -> None:
    rehearse(world.site(), GROUP, APART)
    fail_over(world.site(), GROUP, Shape())
    assert set(world.running()) == {"db", "web", "db-test", "web-test"}
    clean_up(world.site(), GROUP, "", world.clock)
    assert set(world.running()) == {"db", "web"}


def test_the_notes_of_a_clean_up_that_died_at_its_last_step_stay(world: World) -> None:
    record = rehearse(world.site(), GROUP, APART)
    clean_up(world.site(), GROUP, "first look", world.clock)
    world.site().records.advance(record, Phase.CANCELLING)
    clean_up(world.site(), GROUP, "", world.clock)
    assert [test.notes for test in rehearsed(world.site(), GROUP)] == ["first look"]


@pytest.mark.lab  # many worlds, many seconds
def test_a_death_at_any_step_is_made_good_by_asking_again(tmp_path: Path) -> None:
    world = World(tmp_path / "count")
    world.dies_at(-1)
    rehearse(world.site(), GROUP, APART)
    going = world.fate.steps
    clean_up(world.site(), GROUP, "", world.clock)
    back = world.fate.steps - going
    assert min(going, back) > 10
    for step in range(1, going + back + 1):
        world = World(tmp_path / str(step))
        world.dies_at(step)
        with pytest.raises(Died):  # noqa: PT012 - which of the two it dies in depends on the step
            rehearse(world.site(), GROUP, APART)
            clean_up(world.site(), GROUP, "", world.clock)
        world.lives()
        if step <= going:
            assert rehearse(world.site(), GROUP, APART).phase is Phase.RUNNING, f"step {step}"
            assert world.running() == world.at(world.numbers()[-1], "-test"), f"step {step}"
        clean_up(world.site(), GROUP, "", world.clock)
        assert world.is_empty(), f"step {step}"
        assert len(rehearsed(world.site(), GROUP)) == 1, f"step {step}: a test counts once"
