"""A verb dies, or a host does: afterwards one machine runs or none, and the same verb again completes.

The command line's real process stops dead before its n-th step (``lab.sites.steps``), and then happens what
the test is about. The machines are real; some judge their own ledgers when they boot, which takes long, and
of the others the disks are judged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from lab.sites import Sites
from lab.stage import PATIENCE_SECONDS, Halting
from tests.lab.sides.perils import PERILS, PROVIDER, Peril
from tests.lab.sides.scenes import World

pytestmark = pytest.mark.lab

PARTS = 4
PATIENT = 5
MOST_STEPS = 200  # a provider never ends
SAMPLE = 4
FAMILIES = (0, 2, 3, 4)
Happens = Callable[[World, Peril, Halting], None]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="kill-") as folder, ExitStack() as undo:
        sites = undo.enter_context(Sites())
        made = World(Path(folder), sites)
        undo.callback(made.close)
        undo.callback(sites.close)
        yield made


def dies(world: World, peril: Peril, command: Halting) -> None:
    """Nobody is asked and nothing else changes."""
    command.kill()


def loses_power(world: World, peril: Peril, command: Halting) -> None:
    """All of the verb's host ends at once: the command, QEMU, point servers, the provider."""
    world.computer(peril.on(world)).cut_power()
    command.process.wait(PATIENCE_SECONDS)


def is_alone(world: World, peril: Peril, command: Halting) -> None:
    """All of the other host ends; the verb goes on."""
    world.computer(world.second if peril.on(world) is world.first else world.first).cut_power()
    assert command.go_on() in FAMILIES


def everything_loses_power(world: World, peril: Peril, command: Halting) -> None:
    """Hosts and store, and what nobody flushed is gone."""
    world.hosts.cut()
    world.store.cut()
    world.power_off()
    command.process.wait(PATIENCE_SECONDS)
    world.hosts.exchange()
    world.store.exchange()


def loses_the_store(world: World, peril: Peril, command: Halting) -> None:
    """The store's drive fails under the verb, which says so; then both hosts go down, and all comes back."""
    world.store.cut()
    assert command.go_on() in FAMILIES
    world.power_off()
    world.store.exchange()


SOME = [
    ("fail over", 40, dies),
    ("fail over", 55, everything_loses_power),
    ("change", 50, dies),
    ("fail back", 100, dies),
    ("fail back", 60, is_alone),
    ("fail back", 140, loses_power),
]


def endured(world: World, name: str, step: int, happens: Happens, *, is_patient: bool = False) -> bool:
    """Let something happen before a step, and see that it is made good; False if there are fewer steps."""
    peril = PERILS[name]
    world.is_patient = True
    promised = peril.begin(world)
    world.is_patient = is_patient
    command = peril.on(world).halting(step, *peril.spoken(world))
    if not command.has_halted():
        assert command.kill() == 0
        return False
    before = command.steps()[-1]
    try:
        happens(world, peril, command)
        world.one_runs_or_none()
        peril.again(world)
        world.one_runs_or_none()
        peril.ends(world, promised)
    except BaseException as error:
        error.add_note(f"{name} stopped before step {before}")
        raise
    return True


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", PERILS)
def test_a_verb_killed_at_any_step_is_completed_by_asking_again(world: World, name: str, part: int) -> None:
    for step in range(1 + part, MOST_STEPS, PARTS):
        if not endured(world, name, step, dies, is_patient=step % PATIENT == 1):
            break


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("happens", [loses_power, everything_loses_power, loses_the_store, is_alone])
@pytest.mark.parametrize("name", PERILS)
def test_what_loses_its_power_at_some_step_comes_back_to_a_verb_that_completes(
    world: World, name: str, happens: Happens
) -> None:
    steps = Random(name).sample(range(1, counted(world, PERILS[name]) + 1), SAMPLE)
    for step in steps:
        endured(world, name, step, happens, is_patient=step % PATIENT == 1)


def counted(world: World, peril: Peril) -> int:
    """Return how many steps a verb takes."""
    if peril.words == PROVIDER:
        return MOST_STEPS
    peril.begin(world)
    command = peril.on(world).halting(0, *peril.spoken(world))
    assert not command.has_halted()
    return len(command.steps())


def test_a_verb_stopped_half_way_is_completed_by_asking_again(world: World) -> None:
    """A few of the others, for every day; in one test, since making a scene takes the longest."""
    for name, step, happens in SOME:
        assert endured(world, name, step, happens)
