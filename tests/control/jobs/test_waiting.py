"""What a step waits for is told with its task, and how far that is, for as long as it waits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bascule.control.jobs.run import Ending, Run
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.items import Headway
from bascule.model.vault.item import Command, Fact, Protection
from bascule.model.vault.job import JobState, Task
from bascule.ports.sites import Order, Waiting
from lab.waiting import wait_until
from tests.control.vaults import ITEM, VAULT, Node, start

FAR = Headway(3 << 20, 12 << 20, 1e6, 9.0)


@pytest.mark.slow
def test_a_step_says_what_it_waits_for_until_it_has_ended(tmp_path: Path) -> None:
    said: list[Waiting] = [Waiting("host h1 was not heard of since noon")]

    def enable(run: Run) -> Ending:
        def act(_order: Order) -> str:
            if said:
                raise said[0]
            return "done"

        run.step("copy it", act)
        return Ending(Fact.RELATED)

    catalog = SqlCatalog(str(tmp_path / "c.db"))
    node = start(catalog, FakeSites(tmp_path / "w.db"), {Command.ENABLE: enable})

    def task() -> Task | None:
        return node.jobs.get(VAULT, job.id).task("copy it")

    def waits(text: str, far: Headway | None) -> bool:
        found = task()
        return found is not None and (found.waits, found.headway) == (text, far)

    try:
        job = node.jobs.submit(VAULT, ITEM, Command.ENABLE)
        wait_until(lambda: waits("host h1 was not heard of since noon", None), what="what is waited for")
        said[0] = Waiting("host h1 was told to level", FAR)
        node.jobs.tell(VAULT, ITEM)
        wait_until(lambda: waits("host h1 was told to level", FAR), what="how far it is")
        said.clear()
        wait_until(lambda: node.jobs.get(VAULT, job.id).state is JobState.QUEUED, what="the job to rest")
        node.jobs.tell(VAULT, ITEM)
        assert node.ended(job).state is JobState.SUCCEEDED
        found = task()
        assert found is not None
        assert (found.value, found.waits, found.headway) == ("done", "", None)
    finally:
        node.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = start(SqlCatalog(str(tmp_path / "c.db")), FakeSites(tmp_path / "w.db"))
    yield node
    node.stop()


def in_seconds(seconds: float) -> datetime:
    return (datetime.now() + timedelta(seconds=seconds)).replace(microsecond=0)


def test_initial_replication_begins_at_its_time_and_no_sooner(node: Node) -> None:
    """R-P-5."""
    moment = in_seconds(2)
    job = node.do(Command.ENABLE, first_copy_at=f"{moment:%H:%M:%S}")
    assert job.state is JobState.SUCCEEDED
    rest = job.task("wait for the time of initial replication")
    assert rest is not None
    assert rest.ended is not None
    assert rest.ended >= moment.timestamp()
    assert [task.name for task in job.tasks][-2:] == [rest.name, "establish the relationship"]


def test_while_it_waits_for_its_time_that_is_told_and_it_can_be_cancelled(node: Node) -> None:
    job = node.jobs.submit(VAULT, ITEM, Command.ENABLE, {"first_copy_at": f"{in_seconds(3600):%H:%M}"})

    def waits() -> bool:
        found = node.jobs.get(VAULT, job.id).task("wait for the time of initial replication")
        return found is not None and found.waits.startswith("it begins at 2")

    wait_until(waits, what="what is waited for")
    node.jobs.cancel(VAULT, job.id)
    assert node.ended(job).state is JobState.CANCELLED
    assert node.item().protection is Protection.UNPROTECTED
    assert "relate" not in node.sites.effects(ITEM)
