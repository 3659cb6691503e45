"""A verb dies, or a host does: afterwards one machine runs or none, and the same verb again completes.

The command line's real process stops dead before its n-th step (``lab.sites.steps``), and then happens what
the test is about. The machines are real; some judge their own ledgers when they boot, which takes long, and
of the others the disks are judged. All of it is what ``make kills`` fills a table with; here are samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.sides.deaths import FAR_VICTIMS, PATIENT, VICTIMS, counted, endured
from tests.lab.sides.matrix import spread
from tests.lab.sides.perils import PERILS
from tests.lab.sides.scenes import World, made

pytestmark = pytest.mark.lab

SAMPLE = 4
SOME = [
    ("fail over", 40, "verb"),
    ("fail over", 55, "everything"),
    ("fail back", 60, "other host"),
    ("fail back", 140, "host"),
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made() as near:
        yield near


@pytest.fixture(scope="module")
def far() -> Iterator[World]:
    with made(far=True) as behind:
        yield behind


def tried(world: World, name: str, victim: str) -> None:
    for step in spread(counted(world, name))[:SAMPLE]:
        endured(world, name, step, victim, is_patient=step % PATIENT == 1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("name", PERILS)
def test_whatever_dies_at_some_step_the_same_verb_again_completes(
    world: World, name: str, victim: str
) -> None:
    tried(world, name, victim)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", FAR_VICTIMS)
@pytest.mark.parametrize("name", PERILS)
def test_a_network_that_fails_under_a_verb_delays_it_or_has_it_asked_for_again(
    far: World, name: str, victim: str
) -> None:
    tried(far, name, victim)


def test_a_verb_stopped_half_way_is_completed_by_asking_again(world: World) -> None:
    """A few of the others, for every day; in one test, since making a scene takes the longest."""
    for name, step, victim in SOME:
        assert endured(world, name, step, victim)


def test_a_failover_from_a_bucket_goes_on_when_its_network_is_back(far: World) -> None:
    assert endured(far, "fail over", 20, "network")
