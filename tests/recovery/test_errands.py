"""What a vault has a host do: each errand may come again, also when it has become pointless."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from bascule.model.errors import Refused
from bascule.model.vault.commands import Command
from bascule.recovery.errands.verbs import verbs
from tests.recovery.worlds import GROUP, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asked(world: World, verb: str, **more: object) -> str:
    """Have the host do something, as a process that was just started does it."""
    found = verbs(lambda _place: nullcontext(world.site()), world.clock)
    arguments = {"store": "/points", "key_file": "/key", **more}
    return found[verb](Command(1, f"order-{verb}", verb, GROUP, arguments))


def test_a_failover_that_is_asked_for_twice_is_one_and_is_taken_back_twice_as_well(world: World) -> None:
    names = [asked(world, "fail-over", point=world.numbers()[0]) for _ in range(2)]
    assert names == ["db web"] * 2
    assert world.running() == world.at(world.numbers()[0])
    for _ in range(2):
        asked(world, "cancel")
        assert world.is_empty()


def test_what_is_committed_is_not_taken_back_by_an_order_that_comes_late(world: World) -> None:
    newest = world.numbers()[-1]
    asked(world, "fence")
    asked(world, "fail-over", point=newest)
    asked(world, "commit")
    asked(world, "cancel")
    assert world.running() == world.at(newest)
    with pytest.raises(Refused, match="on this host already"):
        asked(world, "fail-over", point=newest)
