"""A list that is kept is the list that would be made now: whatever changed, whoever changed it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock
from bascule.control.service.service import Service
from bascule.control.watch.watch import Watch
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.front.api.asking import Ask, Desks
from bascule.front.api.nouns.machines import items
from bascule.model.errors import BasculeError, Refused
from bascule.model.vault.access import Caller
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Job, JobId
from bascule.model.vault.route import Route
from bascule.model.vault.signs.event import Condition, Health
from bascule.ports.catalog import Books
from lab.waiting import wait_until
from tests.control.service.desks import OWNER, RITA, ROUTE, desks

Change = Callable[[Books], Any]
WEB = ProtectedItem("i-web", "north", "web", Protection.PROTECTED, route=ROUTE)
LATE = Condition("north", "i-web", "rpo", Health.WARNING, 1e9, "late", "wait")
JOB = Job(JobId("j1"), "north", "i-web", Command.FAIL_OVER, 1, 1e9)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with desks(tmp_path) as (service, node):
        with node.catalog.writing() as books:
            books.items.add(WEB)
        yield service


@pytest.fixture
def other(tmp_path: Path, service: Service) -> Iterator[SqlCatalog]:
    """The catalog as another node has it open."""
    catalog = SqlCatalog(str(tmp_path / "c.db"))
    yield catalog
    catalog.close()


class Lists:
    """Lists as one server answers them, which keeps what it said, and as one that just started does."""

    def __init__(self, service: Service) -> None:
        nobody: Any = None
        self._service = service
        self._desks = Desks(service, nobody, nobody)

    def shown(
        self, caller: Caller = RITA, vault: str = "north", after: str = "", *, anew: bool = False
    ) -> Any:
        nobody: Any = None
        names = {"subscription": "s", "group": "rg", "vault": vault}
        query = {"api-version": "2025-08-01"} | ({"$skiptoken": after} if after else {})
        behind = Desks(self._service, nobody, nobody) if anew else self._desks
        ask = Ask(behind, caller, "https://here", f"/{vault}/items", names, query, {})
        return json.loads(items.list_all(ask).data())

    def only(self) -> dict[str, Any]:
        (one,) = self.shown()["value"]
        return one["properties"]


@pytest.fixture
def lists(service: Service) -> Lists:
    return Lists(service)


def test_a_list_is_made_once_while_nothing_changes_and_is_written_down_each_time(
    service: Service, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lists.shown()
    monkeypatch.delattr(items, "_page")
    assert lists.shown() == lists.shown() == first
    service.gate.settle()
    assert [one.detail for one in service.vaults.deeds(OWNER, "north") if one.what == "list-items"] == [
        "looked, 3 times"
    ]


@pytest.mark.parametrize(
    ("change", "word", "becomes"),
    [
        (lambda books: books.conditions.put(LATE), "replicationHealth", "Warning"),
        (lambda books: books.jobs.add(JOB), "currentScenario", "UnplannedFailover"),
        (
            lambda books: books.servers.put(Server("north", "h1", "site-9", "h1", 1.0)),
            "primaryFabric",
            "site-9",
        ),
        (lambda books: books.servers.remove("north", "h2"), "recoveryFabricId", "None"),
        (
            lambda books: books.items.save(replace(WEB, protection=Protection.FAILED_OVER)),
            "protectionState",
            "UnplannedFailoverCommitPending",
        ),
    ],
)
def test_what_another_node_changed_is_seen_at_once(
    lists: Lists, other: SqlCatalog, change: Change, word: str, becomes: str
) -> None:
    def said() -> str:
        return str([value for name, value in lists.only().items() if name.startswith(word)])

    assert becomes not in said()
    with other.writing() as books:
        change(books)
    assert becomes in said()


def test_what_a_job_does_is_seen_at_once(service: Service, lists: Lists) -> None:
    def stands() -> tuple[str, str]:
        shop = lists.shown()["value"][0]["properties"]
        return shop["protectionState"], shop["currentScenario"]["scenarioName"]

    lists.shown()
    service.items.enable(OWNER, "north", "shop", ROUTE)
    wait_until(lambda: stands() == ("Protected", "None"), 60, "the end of the job, in a list that is kept")


def test_what_hosts_say_or_do_not_say_is_seen_with_the_look_that_found_it(
    lists: Lists, other: SqlCatalog, tmp_path: Path
) -> None:
    assert lists.only()["healthErrors"] == []
    database = SqliteDatabase(tmp_path / "hosts.db")
    Watch(other, SqlHosts(database), SystemClock()).look()
    database.close()
    assert lists.only()["healthErrors"] != []


def test_whose_role_was_taken_away_is_refused_what_was_kept(service: Service, lists: Lists) -> None:
    lists.shown(RITA)
    service.vaults.unassign(OWNER, "north", RITA.name)
    with pytest.raises(Refused, match="rita has no role in a vault called north"):
        lists.shown(RITA)
    assert lists.shown(OWNER)["value"]


def test_a_vault_that_took_the_name_of_another_shows_nothing_of_it(service: Service, lists: Lists) -> None:
    with pytest.raises(Refused, match="no role"):
        lists.shown(RITA, "south")
    assert lists.shown(OWNER, "south")["value"] == []
    assert len(lists.shown(OWNER)["value"]) == 1


@pytest.mark.parametrize("seed", range(4))
def test_kept_lists_are_those_that_would_be_made_now_whatever_happened(
    lists: Lists, other: SqlCatalog, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "PAGE", 3)
    lot = random.Random(seed)
    with other.writing() as books:
        for name in NAMES:
            books.items.add(ProtectedItem(f"i-{name}", "north", name, Protection.PROTECTED))
    for _ in range(40):
        change_one(other, lot)
        for vault, after in product(("north", "south"), ("", "c", "e")):
            assert lists.shown(OWNER, vault, after) == lists.shown(OWNER, vault, after, anew=True)


NAMES = ("a", "b", "c", "d", "e", "f")
VAULTS = ("north", "north", "south")


def change_one(catalog: SqlCatalog, lot: random.Random) -> None:
    """Change something in a vault, or try to and fail, which undoes it."""
    vault, name, host = lot.choice(VAULTS), lot.choice(NAMES), lot.choice(("h1", "h2", "h3"))

    def item(books: Books) -> None:
        found = books.items.named(vault, name)
        route = Route(host, name, lot.choice(("h1", "h2")), policy=lot.choice(("daily", "often")))
        books.items.save(replace(found, protection=lot.choice(tuple(Protection)), route=route))

    def job(books: Books) -> None:
        found = books.jobs.going_on(vault, f"i-{name}")
        if found is None:
            command = lot.choice((Command.FAIL_OVER, Command.COMMIT))
            books.jobs.add(Job(JobId(lot.randbytes(4).hex()), vault, f"i-{name}", command, 1, 1e9))
        else:
            books.jobs.save(replace(found, started=2e9, ended=lot.choice((None, 3e9))))

    wrong = Condition(vault, f"i-{name}", "rpo", lot.choice(tuple(Health)), lot.choice((1e9, 2e9)), "late")
    change: Change = lot.choice(
        (
            lambda books: books.items.add(ProtectedItem(f"i-{name}", vault, name, Protection.PROTECTED)),
            *(item, item, job, job),
            lambda books: books.items.remove(vault, f"i-{name}"),
            lambda books: books.servers.put(Server(vault, host, lot.choice(("site-1", "site-2")), host, 1.0)),
            lambda books: books.servers.remove(vault, host),
            lambda books: books.conditions.put(wrong),
            lambda books: books.conditions.remove(vault, wrong.id),
        )
    )
    try:
        with catalog.writing() as books:
            change(books)
            if lot.random() < 0.2:
                raise Refused("undone")
    except BasculeError:
        pass
