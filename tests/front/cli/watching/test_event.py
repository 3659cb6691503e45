"""Events and jobs are listed, narrowed and followed. A server in this process."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bascule.apps.chance import SystemClock
from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.model.errors import Unavailable
from bascule.model.vault.item import Command
from bascule.model.vault.signs.event import Event, Health
from tests.control.service.desks import OWNER
from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk, Done
from tests.front.cli.remote.signed import owners

NORTH = ("--vault", "north")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("events")) as found:
        yield found


@pytest.fixture
def owner(desk: Desk, server: Served) -> Desk:
    return owners(desk, server)


class Pausing(SystemClock):
    """Does something in place of each pause."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self._meanwhile()


def happened(server: Served, code: str, subject: str, health: Health, ago: float = 0.0) -> None:
    with server.node.catalog.writing() as books:
        at = SystemClock().now() - ago
        books.events.add(Event("north", at, subject, code, health, f"about {code}", "do"))


def codes(desk: Desk, *more: str) -> list[str]:
    listed = desk.ok("event", "ls", *NORTH, *more, "--json").document["value"]
    return [one["properties"]["eventCode"] for one in listed]


def test_events_are_narrowed_by_item_severity_and_time(owner: Desk, server: Served) -> None:
    item = server.service.items.list(OWNER, "north")[0]
    happened(server, "old", item.id, Health.CRITICAL, ago=7200)
    happened(server, "new", item.id, Health.CRITICAL)
    happened(server, "other", "somebody", Health.WARNING)
    assert codes(owner, "--severity", "Critical") == ["new", "old"]
    assert codes(owner, "--severity", "Critical", "--since", "1h") == ["new"]
    assert codes(owner, "--item", item.name) == ["new", "old"]
    assert item.name in owner.ok("event", "ls", *NORTH, "--item", item.name).out
    done = owner.run("event", "ls", *NORTH, "--since", "yesterday", "--json")
    assert (done.code, "2030" in done.error["cure"]) == (2, True)


def test_what_is_older_than_asked_for_is_not_paged_through(server: Served) -> None:
    for number in range(450):
        happened(server, "flood", "somebody", Health.WARNING, ago=90_000 - number)
    asked = {"api-version": "2025-08-01", "$filter": "StartTime ge '2999-01-01T00:00:00Z'"}
    page = server.ask(f"{server.home()}/replicationEvents", params=asked).json()
    assert (page["value"], page.get("nextLink")) == ([], None)


def test_events_are_followed_over_a_server_that_is_away(
    owner: Desk, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []
    desk_of = type(server.service.signs)
    plain = desk_of.events

    def events(*words: object) -> object:
        if len(pauses) == 2:
            raise Unavailable("the catalog is away", cure="wait")
        return plain(*words)

    def pause() -> None:
        pauses.append(len(pauses))
        if len(pauses) == 1:
            happened(server, "first", "somebody", Health.WARNING)
        if len(pauses) == 3:
            happened(server, "second", "somebody", Health.HEALTHY)
        if len(pauses) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(desk_of, "events", events)
    done = followed(owner, pause)
    said = [json.loads(line)["properties"]["eventCode"] for line in done.out.splitlines()]
    assert [code for code in said if code in ("first", "second")] == ["first", "second"]
    assert done.code == 130


def followed(desk: Desk, pause: Callable[[], None]) -> Done:
    desk.capture.readouterr()
    tools = SystemTools(desk.settings)
    tools.clock = Pausing(pause)
    code = run(["event", "ls", "--follow", *NORTH, "--json"], tools)
    return Done(code, *desk.capture.readouterr())


def test_jobs_are_narrowed_by_item_and_time(owner: Desk, server: Served) -> None:
    server.try_to(server.service.items.list(OWNER, "north")[0].id, Command.ENABLE)
    everything = owner.ok("job", "ls", *NORTH, "--json").document["value"]
    name = everything[0]["properties"]["targetObjectName"]
    of_one = owner.ok("job", "ls", *NORTH, "--item", name.upper(), "--json").document["value"]
    assert {one["properties"]["targetObjectName"] for one in of_one} == {name}
    assert owner.ok("job", "ls", *NORTH, "--since", "2999-01-01", "--json").document["value"] == []
    assert owner.ok("job", "ls", *NORTH, "--since", "1d", "--json").document["value"] == everything
