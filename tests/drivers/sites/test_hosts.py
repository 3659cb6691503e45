"""A vault commands hosts that registered with it: jobs, the door, and providers as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bascule.model.vault.item import Command
from tests.control.vaults import ITEM
from tests.front.cli.conftest import Desk, desk

from .estates import Estate

__all__ = ["desk"]
pytestmark = pytest.mark.lab  # real processes, several seconds


@pytest.fixture
def estate(desk: Desk) -> Iterator[Estate]:
    with ExitStack() as cleanup:
        yield Estate(desk, cleanup)


def test_a_machine_of_a_registered_host_is_protected_and_let_go_of_by_jobs(estate: Estate) -> None:
    estate.run("source")
    estate.run("recovery", "--host", str(estate.desk.path("vm")))
    estate.protect()
    assert estate.points()[-1].name == f"{ITEM}/1"
    estate.do(Command.DISABLE)
    assert not estate.desk.path("source").joinpath("machines", ITEM, "wish.json").exists()
