"""A real guest goes over and comes home while its vault or its providers are killed (R-OP-1, R-FO-7)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.front.cli.conftest import Desk

from .guests import GuestLife
from .test_kills import Counted, counted

__all__ = ["counted"]

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(3600)]
STRIDE = 15
CROSSING = {"fence", "fail-over", "cancel", "commit", "test", "clean-up", "hand-over", "level", "come-home"}
"""What the hosts do in such a life with machines, and where each provider dies on the way."""


@pytest.fixture
def desk(capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        yield Desk(Path(folder), capsys)


def assert_well(life: GuestLife) -> None:
    life.live()
    assert {job["state"] for job in life.jobs()} == {"succeeded"}
    life.ends_well()


@pytest.mark.parametrize("moment", ["ordered", "told"])
def test_a_guest_goes_over_and_comes_home_while_its_vault_is_killed_at_every_step(
    desk: Desk, counted: Counted, moment: str
) -> None:
    with GuestLife(desk, of_servers=moment) as life:
        assert_well(life)
        deaths = life.deaths("servers")
    counted("deaths", dict(deaths))
    assert deaths[moment] >= len(life.steps) * 2


def test_a_guest_goes_over_and_comes_home_while_its_hosts_providers_are_killed(
    desk: Desk, counted: Counted
) -> None:
    with GuestLife(desk, stride=STRIDE) as life:
        assert_well(life)
        deaths = life.deaths("hosts")
    counted("deaths", dict(deaths))
    assert deaths.keys() >= CROSSING
