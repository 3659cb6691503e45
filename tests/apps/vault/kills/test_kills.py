"""Real servers, and hosts that registered, are killed and cut off at every step: jobs end as they would."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.model.vault.item import Command
from tests.control.vaults import LIFE
from tests.control.workflows.test_kills import EFFECTS, FINALIZED
from tests.front.cli.conftest import Desk
from tests.servers.postgres import Postgres

from .lives import Life, Steps, by_side

MOMENTS = ("ordered", "told", "committed")
C = Command
Counted = Callable[[str, object], None]
SHORT: Steps = ((C.ENABLE, {}), (C.FAIL_OVER, {"point": "web/1"}), (C.CANCEL, {}), (C.DISABLE, {}))
OF_SHORT = (
    *("relate", "settle", "fence", "start failover", "remove failover", "let_go", "unrelate"),
    *("remove test", "forget"),
)


@pytest.fixture
def desk(capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        yield Desk(Path(folder), capsys)


@pytest.fixture
def counted(record_property: Counted) -> Counted:
    """Say in the report (``--junitxml``) how often somebody died."""
    return record_property


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def assert_well(life: Life) -> None:
    """See that the life is as an undisturbed one: nothing is left out, and nothing came twice."""
    life.live()
    jobs = life.jobs()
    assert {job["state"] for job in jobs} == {"succeeded"}
    for job in jobs:
        names = [task["name"] for task in job["tasks"]]
        assert len(names) == len(set(names)), job
    is_whole = life.steps is LIFE
    assert len(jobs) == len(life.steps) + (FINALIZED if is_whole else 1)
    assert life.effects() == by_side(EFFECTS if is_whole else OF_SHORT)
    assert life.standing() == {"machines": [], "points": [], "marks": [], "related": []}


@pytest.mark.lab
@pytest.mark.timeout(900)  # thirty seconds of processor time, in a dozen lives of servers
def test_one_of_three_servers_is_killed_each_time_a_host_has_told_something(
    desk: Desk, server: Postgres
) -> None:
    """A short life, of every day; the whole one is below."""
    with Life(desk, server.database(), count=3, of_servers="told", steps=SHORT) as life:
        assert_well(life)
        assert life.deaths("servers")["told"] >= len(OF_SHORT)


@pytest.mark.long
@pytest.mark.timeout(3600)  # up to two hundred lives of a server
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_is_killed_at_every_step(desk: Desk, counted: Counted, moment: str) -> None:
    with Life(desk, of_servers=moment) as life:
        assert_well(life)
        deaths = life.deaths("servers")
    counted("deaths", dict(deaths))
    assert deaths[moment] >= len(EFFECTS)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_of_so_many_servers_on_postgres_is_killed_at_every_step(
    desk: Desk, server: Postgres, counted: Counted, moment: str, count: int
) -> None:
    """Jobs of the one that died are taken over by the others, and none is done twice."""
    with Life(desk, server.database(), count=count, of_servers=moment) as life:
        assert_well(life)
        deaths = life.deaths("servers")
    counted("deaths", dict(deaths))
    assert deaths[moment] >= len(EFFECTS)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", ["before", "after", "unasked", "unheard"])
def test_hosts_are_killed_or_cut_off_at_every_step(desk: Desk, moment: str, counted: Counted) -> None:
    with Life(desk, of_hosts=moment) as life:
        assert_well(life)
        deaths = life.deaths("hosts")
    counted("deaths", dict(deaths))
    assert deaths[moment] >= len(EFFECTS)
