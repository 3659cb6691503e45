"""A vault commands hosts that registered with it: jobs, the door, and providers as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from bascule.model.vault.item import Command
from bascule.model.vault.job import JobState
from bascule.model.vault.signs.event import Health
from lab.waiting import wait_until
from tests.control.vaults import ITEM, VAULT
from tests.front.cli.conftest import Desk

from .estates import Estate, desk

__all__ = ["desk"]


@pytest.fixture
def estate(desk: Desk) -> Iterator[Estate]:
    with ExitStack() as cleanup:
        yield Estate(desk, cleanup)


@pytest.mark.lab  # real processes, several seconds
def test_a_machine_of_a_registered_host_is_protected_and_let_go_of_by_jobs(estate: Estate) -> None:
    job = estate.node.jobs.submit(VAULT, ITEM, Command.ENABLE)

    def waits_for_who_was_never_heard_of() -> bool:
        tasks = estate.node.jobs.get(VAULT, job.id).tasks
        return bool(tasks) and "has never been heard of" in tasks[0].waits

    wait_until(waits_for_who_was_never_heard_of, what="why it waits")
    estate.run("source")
    estate.run("recovery", "--host", str(estate.desk.path("vm")))
    estate.node.settled()
    assert [one.state for one in estate.node.jobs.list(VAULT)] == [JobState.SUCCEEDED] * 2
    assert not [task for one in estate.node.jobs.list(VAULT) for task in one.tasks if task.waits]
    assert estate.points()[-1].name == f"{ITEM}/1"
    estate.do(Command.DISABLE)
    assert not estate.desk.path("source").joinpath("machines", ITEM, "wish.json").exists()
    assert groups(estate) == []
    # The same name again begins anew: nothing is left that would be in its way.
    estate.protect_again()
    assert [point.name for point in estate.points()] == [
        f"{ITEM}/{estate.points()[0].name.partition('/')[2]}"
    ]


@pytest.mark.lab
def test_protection_ends_without_a_source_that_is_gone_which_lets_go_when_it_is_back(estate: Estate) -> None:
    """R-P-6."""
    estate.run("source")
    estate.run("recovery", "--host", str(estate.desk.path("vm")))
    estate.protect()
    estate.kill("source")
    job = estate.do(Command.DISABLE, source_is_gone="yes")
    assert "remove the relationship" not in [task.name for task in job.tasks]
    assert groups(estate) == []
    with estate.node.catalog.reading() as books:
        [event] = [one for one in books.events.list(VAULT) if one.subject == ITEM]
    assert (event.health, "passed over" in event.message) == (Health.WARNING, True)
    wish = estate.desk.path("source").joinpath("machines", ITEM, "wish.json")
    assert wish.exists()
    estate.run("source")
    wait_until(lambda: not wish.exists(), 30, "the source to let go")
    assert groups(estate) == []


def groups(estate: Estate) -> list[str]:
    """Return the groups in the store."""
    found = estate.desk.ok("store", "ls", estate.desk.store, "--json").document
    return [group["group"] for group in found["groups"]]


@pytest.mark.long  # a dozen starts of two processes
def test_providers_that_are_killed_after_every_answer_end_each_job_as_it_would_have(estate: Estate) -> None:
    hosts = estate.house.behind.hosts
    deaths = 0
    for command in (Command.ENABLE, Command.RESYNC, Command.DISABLE):
        estate.node.jobs.submit(VAULT, ITEM, command)
        while not all(job.is_ended for job in estate.node.jobs.list(VAULT)):
            answered = len(hosts.orders()) - len(hosts.orders(only_open=True))
            estate.run("source")
            estate.run("recovery", "--host", str(estate.desk.path("vm")))
            wait_until(partial(is_ahead, estate, answered), 60, "an answer, or the end")
            for name in ("source", "recovery"):
                estate.kill(name)
            deaths += 1
    assert [job.state for job in estate.node.jobs.list(VAULT)] == [JobState.SUCCEEDED] * 4
    assert deaths >= 8
    verbs = [order.command.verb for order in hosts.orders()]
    assert len(verbs) == len(set(verbs)), "no order was given twice"


def is_ahead(estate: Estate, answered: int) -> bool:
    hosts = estate.house.behind.hosts
    is_over = all(job.is_ended for job in estate.node.jobs.list(VAULT))
    return is_over or len(hosts.orders()) - len(hosts.orders(only_open=True)) > answered
