"""What hosts said becomes hosts, machines, conditions and events of the vaults that they joined."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock
from bascule.control.watch.watch import Watch
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.model.errors import Unavailable
from bascule.model.policies import Policy
from bascule.model.vault.commands import Json, Report
from bascule.model.vault.fabric import Enrolment, Fabric, ReplicationPolicy, Server
from bascule.model.vault.item import ProtectedItem, Protection, Side
from bascule.model.vault.route import Route
from bascule.model.vault.signs.disk import Disk
from bascule.model.vault.signs.event import Event, Health
from bascule.model.vault.vault import Vault
from bascule.ports.vault.hosts import RegistrationKey
from lab.waiting import wait_until
from tests.contracts.hosts import certificate, claim, digest

NOW = 1_800_000_000.0
WEB = ProtectedItem(
    "web-1", "north", "web", Protection.PROTECTED, route=Route("h1", "web", "h2", "/p", "/k", "daily")
)
WELL: dict[str, Any] = {
    "state": "replicating",
    "safe_as_of": NOW,
    "newest": {"number": 3, "captured_at": NOW},
}


class Hands(SystemClock):
    """A clock whose hands somebody moves."""

    at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Tower:
    """A catalog with two vaults, a host that joined *north* and one item, and who watches over it."""

    catalog: SqlCatalog
    hosts: SqlHosts
    clock: Hands = field(default_factory=Hands)
    reports: int = 0

    def __post_init__(self) -> None:
        self.watch = Watch(self.catalog, self.hosts, self.clock)
        with self.catalog.writing() as books:
            for name in ("north", "south"):
                books.vaults.add(Vault(name))
            books.fabrics.add(Fabric("north", "paris"))
            books.enrolments.add(Enrolment("north", "k1", "paris", NOW + 10))
            books.policies.add(ReplicationPolicy("north", "daily", Policy(app_consistent_seconds=3600)))
            books.items.add(WEB)
        self.hosts.add_key(RegistrationKey("k1", digest("s1"), NOW + 10))
        self.hosts.register(claim(), certificate(), NOW)

    def say(self, facts: dict[str, Any] | None, group: str = WEB.id) -> None:
        """Let the host say something of the item, and all is well otherwise."""
        self.reports += 1
        groups = {} if facts is None else {group: facts}
        self.hosts.report(Report("h1", self.reports, 0, groups), self.clock.at)

    def look(self) -> list[tuple[str, str, Health]]:
        """Look, and return what is wrong then."""
        self.watch.look()
        with self.catalog.reading() as books:
            return [(one.subject, one.code, one.health) for one in books.conditions.list("north")]

    def events(self) -> list[Event]:
        with self.catalog.reading() as books:
            return list(reversed(books.events.list("north")))


@pytest.fixture
def tower(tmp_path: Path) -> Iterator[Tower]:
    database = SqliteDatabase(tmp_path / "hosts.db")
    catalog = SqlCatalog(str(tmp_path / "c.db"))
    yield Tower(catalog, SqlHosts(database))
    catalog.close()
    database.close()


def test_a_host_belongs_to_the_vault_whose_key_it_joined_by(tower: Tower) -> None:
    tower.say(WELL)
    assert tower.look() == []
    with tower.catalog.reading() as books:
        assert books.servers.list("north") == (Server("north", "h1", "paris", "name of h1", NOW),)
        assert books.servers.list("south") == ()
    tower.hosts.revoke("h1")
    tower.look()
    with tower.catalog.reading() as books:
        assert books.servers.get("north", "h1").is_revoked


def test_the_machines_of_a_host_can_be_protected_while_it_is_let_in(tower: Tower) -> None:
    def listed() -> list[tuple[str, str, tuple[Disk, ...]]]:
        tower.look()
        with tower.catalog.reading() as books:
            assert books.protectable.list("south") == ()
            return [(one.id, one.machine, one.disks) for one in books.protectable.list("north")]

    disk: Json = {"id": "disk0", "size_bytes": 1 << 30}
    tower.say(WELL)
    tower.hosts.report(Report("h1", 2, 1, {}, (), {"one#db": [], "one#web": [disk, "none"]}), NOW)
    web = ("h1.web", "one#web", (Disk("disk0", 1 << 30, False),))
    assert listed() == [("h1.db", "one#db", ()), web]
    tower.hosts.report(Report("h1", 3, 2, {}, (), {"one#web": [disk]}), NOW)
    assert listed() == [web]
    tower.hosts.revoke("h1")
    assert listed() == []


def test_an_item_has_the_disks_that_its_host_named_last(tower: Tower) -> None:
    def disks() -> tuple[Disk, ...]:
        tower.look()
        with tower.catalog.reading() as books:
            return books.items.get("north", WEB.id).disks

    one = {"machine": "web", "id": "disk0", "size_bytes": 1 << 30, "is_protected": True}
    tower.say(WELL)
    assert disks() == ()
    tower.say({**WELL, "disks": [one]})
    assert disks() == (Disk("disk0", 1 << 30),)
    with tower.catalog.reading() as books:
        version = books.items.get("north", WEB.id).version
    tower.look()
    with tower.catalog.reading() as books:
        assert books.items.get("north", WEB.id).version == version, "nothing is written where nothing changed"
    tower.say({**WELL, "disks": [one, {**one, "id": "disk1", "is_protected": False}]})
    both = (Disk("disk0", 1 << 30), Disk("disk1", 1 << 30, False))
    assert disks() == both
    tower.say(WELL)
    assert disks() == both, "a host that copies anew does not know them yet"


def test_a_host_that_joined_by_nobodys_key_belongs_to_no_vault(tower: Tower) -> None:
    tower.hosts.add_key(RegistrationKey("k2", digest("s2"), NOW + 10))
    tower.hosts.register(claim("h2", "k2", "s2"), certificate("h2", "2"), NOW)
    tower.look()
    with tower.catalog.reading() as books:
        assert [one.id for one in (*books.servers.list("north"), *books.servers.list("south"))] == ["h1"]


def test_no_heartbeat_for_fifteen_minutes_is_critical_until_the_host_is_back(tower: Tower) -> None:
    tower.say(WELL)
    tower.clock.at += 899
    assert ("h1", "no-heartbeat", Health.CRITICAL) not in tower.look()
    tower.clock.at += 1
    assert ("h1", "no-heartbeat", Health.CRITICAL) in tower.look()
    tower.say(WELL | {"safe_as_of": tower.clock.at})
    assert tower.look() == []
    told = [(one.code, one.health) for one in tower.events() if one.subject == "h1"]
    assert told == [("no-heartbeat", Health.CRITICAL), ("no-heartbeat", Health.HEALTHY)]


@pytest.mark.parametrize("is_silent", [True, False])
def test_no_new_point_for_an_hour_is_an_event_also_when_the_host_is_silent(
    tower: Tower, is_silent: bool
) -> None:
    tower.say(WELL | {"app_consistent_at": NOW})
    tower.clock.at = NOW + 3599
    assert "153007" not in {code for _, code, _ in tower.look()}
    tower.clock.at = NOW + 7200
    if not is_silent:
        tower.say(WELL | {"app_consistent_at": NOW, "safe_as_of": tower.clock.at})
    found = tower.look()
    assert (WEB.id, "153007", Health.CRITICAL) in found
    assert (WEB.id, "153006", Health.WARNING) in found
    # What would be lost is another figure, and only the silent host's grows.
    assert ((WEB.id, "rpo-exceeded", Health.WARNING) in found) is is_silent


def test_an_event_comes_once_however_often_and_by_whomever_it_is_looked_at(tower: Tower) -> None:
    trouble = {
        "family": "refused",
        "code": "no-key",
        "message": "no key",
        "cure": "bring it",
        "first_at": NOW,
    }
    tower.say(WELL | {"trouble": trouble})
    for _ in range(3):
        assert tower.look() == [(WEB.id, "no-key", Health.CRITICAL)]
    assert Watch(tower.catalog, tower.hosts, tower.clock).look() is None  # another process of the vault
    [event] = tower.events()
    assert replace(event, number=0) == Event(
        "north", NOW, WEB.id, "no-key", Health.CRITICAL, "no key", "bring it"
    )
    tower.say(WELL | {"trouble": {**trouble, "family": "unavailable"}})
    assert tower.look() == [(WEB.id, "no-key", Health.WARNING)]
    tower.say(WELL | {"trouble": None})
    assert tower.look() == []
    assert [one.health for one in tower.events()] == [Health.CRITICAL, Health.WARNING, Health.HEALTHY]


def test_an_item_that_its_source_does_not_know_is_critical(tower: Tower) -> None:
    tower.say(None)
    assert tower.look() == [(WEB.id, "not-replicated", Health.CRITICAL)]


def test_what_is_failed_over_or_not_replicated_yet_is_not_missed(tower: Tower) -> None:
    tower.say(None)
    for changed in (
        replace(WEB, side=Side.RECOVERY, protection=Protection.FAILED_OVER),
        replace(WEB, protection=Protection.SEEDING),
        replace(WEB, protection=Protection.UNPROTECTED),
    ):
        with tower.catalog.writing() as books:
            kept = books.items.get("north", WEB.id)
            books.items.save(replace(changed, version=kept.version))
        assert tower.look() == []


def test_an_item_is_watched_where_it_works_in_the_generation_that_it_is(tower: Tower) -> None:
    """It went over, and is replicated back; or came home, and is replicated again."""
    away = replace(WEB, side=Side.RECOVERY, route=replace(WEB.route, source="h2", recovery="h1"))
    for item in (WEB, away):
        with tower.catalog.writing() as books:
            books.items.save(replace(item, version=books.items.get("north", WEB.id).version))
        tower.say(WELL | {"app_consistent_at": NOW}, f"{WEB.id}~2")
        assert tower.look() == []
        tower.say({**WELL, "fenced_by": "s", "since": NOW, "app_consistent_at": NOW}, f"{WEB.id}~2")
        assert tower.look() == [(WEB.id, "fenced", Health.CRITICAL)]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"newest": 5, "safe_as_of": "soon", "trouble": ["x"], "app_consistent_at": {}},
        {
            "newest": {"captured_at": True},
            "trouble": {"family": 3, "code": {}, "first_at": "x"},
            "fenced_by": 9,
        },
        {},
    ],
)
def test_nonsense_of_a_host_stops_nobody(tower: Tower, nonsense: dict[str, Any]) -> None:
    tower.say(nonsense)
    assert {code for _, code, _ in tower.look()} <= {"trouble"}


def test_while_nothing_changes_nothing_is_written(tower: Tower) -> None:
    tower.say(WELL)
    tower.look()
    with tower.catalog.engine.connect() as connection:
        before = connection.exec_driver_sql("PRAGMA data_version").scalar()
        for _ in range(3):
            tower.clock.at += 5
            tower.look()
        assert connection.exec_driver_sql("PRAGMA data_version").scalar() == before


def test_that_nobody_looks_any_more_is_found_out(tower: Tower) -> None:
    tower.clock.at += 30
    tower.look()
    tower.clock.at += 60
    assert tower.watch.check() == "looked 60 s ago"
    tower.clock.at += 1
    with pytest.raises(Unavailable, match="nobody has looked at what hosts said for 61 s"):
        tower.watch.check()


def test_who_watches_goes_on_after_a_place_that_did_not_answer(tower: Tower) -> None:
    tower.say(WELL)
    over = threading.Event()
    thread = threading.Thread(target=tower.watch.run, args=(over, 0.01))
    with tower.catalog.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE bascule_shelves RENAME TO away")
        thread.start()
        wait_until(lambda: tower.watch.failures > 0, 10, "a look that failed")
        connection.exec_driver_sql("ALTER TABLE away RENAME TO bascule_shelves")

    def is_known() -> bool:
        with tower.catalog.reading() as books:
            return bool(books.servers.list("north"))

    wait_until(is_known, 10, "a look that did not")
    over.set()
    thread.join()
