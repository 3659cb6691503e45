"""A policy that was changed reaches each machine that is protected by it, as soon as that can hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.control.service.service import Service
from bascule.control.watch.following import Following
from bascule.model.policies import Policy
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Act, Job, JobState
from bascule.model.vault.signs.event import Health
from bascule.ports.catalog import Books, Catalog
from tests.control.service.desks import ANNA, ROUTE, desks
from tests.control.vaults import Node

CHANGED = Policy(interval_seconds=300, retention="1h:all")


class Scene:
    """A vault of which one machine is protected by *daily*, and who looks after its policies."""

    def __init__(self, service: Service, node: Node) -> None:
        self.service, self.node = service, node
        self.following = Following(node.catalog, node.jobs)
        self.id = service.items.enable(ANNA, "north", "shop", ROUTE).item
        node.settled()

    def change(self, policy: Policy) -> None:
        self.service.policies.put(ANNA, "north", "daily", policy)

    def look(self) -> list[Job]:
        """Look, and return the jobs about policies that there have been, the newest first, ended."""
        self.following.look()
        self.node.settled()
        return [job for job in self.node.jobs.list("north") if job.command is Command.FOLLOW_POLICY]

    def give(self, command: Command) -> Job:
        return self.node.ended(self.service.items.command(ANNA, "north", self.id, command))

    def item(self) -> ProtectedItem:
        return self.service.items.get(ANNA, "north", self.id)


class Meanwhile:
    """A catalog in which something happens before a look that found something comes to writing."""

    def __init__(self, catalog: Catalog, happens: Callable[[], object]) -> None:
        self._catalog = catalog
        self._happens = happens
        self.engine = catalog.engine
        self.reading = catalog.reading
        self.close = catalog.close

    def writing(self) -> AbstractContextManager[Books]:
        self._happens()
        return self._catalog.writing()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with desks(tmp_path) as (service, node):
        yield Scene(service, node)


def test_a_change_is_told_once_and_what_is_none_is_not_told(scene: Scene) -> None:
    assert scene.look() == []
    scene.change(Policy())
    assert scene.look() == [], "that is what it was"
    scene.change(CHANGED)
    [job] = scene.look()
    assert (job.item, job.state) == (scene.id, JobState.SUCCEEDED)
    assert scene.look() == [job]
    assert scene.node.sites.effects(scene.id).count("follow") == 1
    again = Following(scene.node.catalog, scene.node.jobs)
    again.look()
    assert scene.look() == [job], "nor by a server that starts anew"


def test_a_machine_that_has_a_job_is_told_when_that_has_ended(scene: Scene) -> None:
    def change(_verb: str, _token: str, _moment: str) -> None:
        scene.node.sites.interrupt = lambda _verb, _token, _moment: None
        scene.change(CHANGED)
        scene.following.look()

    scene.node.sites.interrupt = change
    scene.give(Command.RESYNC)
    [job] = scene.look()
    assert job.state is JobState.SUCCEEDED


def test_of_two_servers_that_find_a_change_at_once_one_tells(scene: Scene) -> None:
    other = Following(Meanwhile(scene.node.catalog, scene.look), scene.node.jobs)
    scene.change(CHANGED)
    other.look()
    assert len(scene.look()) == 1


def test_a_machine_that_is_given_a_job_meanwhile_is_told_after_it(scene: Scene) -> None:
    def resync() -> None:
        scene.service.items.command(ANNA, "north", scene.id, Command.RESYNC)

    scene.node.sites.fail("resync", "unavailable")
    scene.change(CHANGED)
    Following(Meanwhile(scene.node.catalog, resync), scene.node.jobs).look()
    scene.node.sites.fail("resync")
    scene.node.settled()
    assert len(scene.look()) == 1


def test_a_machine_that_is_failed_over_is_told_when_that_is_taken_back(scene: Scene) -> None:
    scene.give(Command.FAIL_OVER)
    scene.change(CHANGED)
    assert scene.look() == []
    scene.give(Command.CANCEL)
    assert len(scene.look()) == 1


def test_a_machine_that_is_reprotected_hears_of_the_change_by_that(scene: Scene) -> None:
    for command in (Command.FAIL_OVER, Command.COMMIT):
        scene.give(command)
    scene.change(CHANGED)
    assert scene.look() == []
    scene.give(Command.REPROTECT)
    assert scene.look() == []
    scene.change(replace(CHANGED, retention="2h:all"))
    assert len(scene.look()) == 1
    assert scene.node.sites.effects(scene.id).count("follow back") == 1


def test_a_job_that_failed_can_be_restarted_after_a_change_of_policy(scene: Scene) -> None:
    scene.node.sites.fail("start test", "refused", "no memory")
    failed = scene.give(Command.TEST_FAIL_OVER)
    assert failed.state is JobState.FAILED
    scene.change(CHANGED)
    assert len(scene.look()) == 1
    scene.node.sites.fail("start test")
    scene.service.jobs.act(ANNA, "north", failed.id, Act.RESTART)
    assert scene.node.ended(failed).state is JobState.SUCCEEDED
    assert scene.item().protection is Protection.PROTECTED


def test_what_a_person_should_know_of_a_host_that_is_away_becomes_an_event(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.node.sites, "follow", lambda _order: "host h1 was not heard of since noon")
    scene.change(CHANGED)
    [job] = scene.look()
    assert job.state is JobState.SUCCEEDED
    with scene.node.catalog.reading() as books:
        [event] = [one for one in books.events.list("north") if one.subject == scene.id]
    assert (event.code, event.health) == ("follow-policy-warning", Health.WARNING)
    assert event.message == "host h1 was not heard of since noon"
