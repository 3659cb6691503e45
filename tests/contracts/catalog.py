"""What every Catalog must keep. A subclass gives the fixture ``words``, by which a fresh one is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.model.policies import Policy
from bascule.model.vault.access import Assignment, Role
from bascule.model.vault.fabric import Enrolment, Fabric, ProtectableItem, ReplicationPolicy, Server
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Failure, Job, JobId, JobState, Task, TaskState
from bascule.model.vault.plan import ActionKind, GroupKind, PlanAction, PlanGroup, RecoveryPlan
from bascule.model.vault.route import Route
from bascule.model.vault.sides.pairing import Container, ContainerMapping, RecoverySettings, Target
from bascule.model.vault.signs.alerts import AlertPlace, AlertSettings
from bascule.model.vault.signs.disk import Disk
from bascule.model.vault.signs.event import Condition, Event, Health
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Books, Catalog, Part
from bascule.ports.vault.audit import Deed

WEB = ProtectedItem("i-web", "north", "web", disks=(Disk("disk0", 1 << 30), Disk("disk1", 512, False)))


def a_job(id: str, **fields: Any) -> Job:
    return replace(Job(JobId(id), "north", "i-web", Command.FAIL_OVER, 3, 10.0), **fields)


SHELVES: dict[str, Any] = {
    "assignments": Assignment("north", "anna", Role.OPERATOR),
    "fabrics": Fabric("north", "site-1"),
    "enrolments": Enrolment("north", "k1", "site-1", 5.5),
    "servers": Server("north", "h1", "site-1", "one", 4.5),
    "protectable": ProtectableItem(
        "north", "h1.web", "site-1", "h1", "one#web", (Disk("disk0", 1 << 30, False),)
    ),
    "policies": ReplicationPolicy("north", "daily", Policy(applications=("web=postgresql",))),
    "containers": Container("north", "site-1/blue"),
    "mappings": ContainerMapping("north", "site-1/blue/m1", "daily", "site-2/site-2", Target("h2")),
    "recovery_settings": RecoverySettings("north", "*", Target("h2", "/points", "/key")),
    "plans": RecoveryPlan.of(
        "north",
        "all",
        "site-1",
        [PlanGroup(GroupKind.BOOT, ("i-web",), (PlanAction("dns", ActionKind.SCRIPT, "/dns"),))],
    ),
    "alerts": AlertSettings("north", ("anna@example.org",), "https://example.org/hook", Health.WARNING),
    "alert_places": AlertPlace("north", "mail", 7, "node", 8.5),
    "conditions": Condition("north", "web", "153007", Health.WARNING, 7.5, "no new point", "look"),
}


class CatalogContract:
    @pytest.fixture
    def opened(self, words: str) -> Iterator[Callable[[], Catalog]]:
        found: list[SqlCatalog] = []

        def open_one() -> Catalog:
            found.append(SqlCatalog(words))
            return found[-1]

        yield open_one
        for catalog in found:
            catalog.close()

    @pytest.fixture
    def catalog(self, opened: Callable[[], Catalog]) -> Catalog:
        catalog = opened()
        with catalog.writing() as books:
            books.vaults.add(Vault("north"))
            books.vaults.add(Vault("south"))
            books.items.add(WEB)
        return catalog

    def test_what_was_committed_is_there_for_whoever_opens_it_next(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        with opened().reading() as books:
            assert books.vaults.list() == (Vault("north"), Vault("south"))
            assert books.items.list("north") == (WEB,)

    def test_a_catalog_of_a_newer_version_is_refused_and_left_as_it_is(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        def mark(version: str) -> None:
            with catalog.writing() as books:
                connection: Any = books.connection
                connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")

        with catalog.reading() as books:
            connection: Any = books.connection
            known = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        mark("9999")
        with pytest.raises(Refused, match="of a version that this Bascule does not know"):
            opened()
        mark(known)
        with opened().reading() as books:
            assert books.items.list("north") == (WEB,)

    def test_an_error_undoes_the_whole_transaction(self, catalog: Catalog) -> None:
        def fail_late() -> None:
            with catalog.writing() as books:
                books.vaults.add(Vault("west"))
                books.jobs.add(a_job("j1"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_late()
        with catalog.reading() as books:
            assert len(books.vaults.list()) == 2
            assert books.jobs.list("north") == ()

    def test_a_name_is_taken_once(self, catalog: Catalog) -> None:
        with pytest.raises(Exists, match="a vault called north"), catalog.writing() as books:
            books.vaults.add(Vault("north"))
        with pytest.raises(Exists, match="has an item web"), catalog.writing() as books:
            books.items.add(replace(WEB, id="another"))
        with catalog.writing() as books:
            books.items.add(replace(WEB, vault="south"))
        with pytest.raises(Missing, match="no vault called east"), catalog.writing() as books:
            books.items.add(replace(WEB, vault="east"))

    def test_nothing_is_seen_of_another_vault(self, catalog: Catalog) -> None:
        with catalog.writing() as books:
            books.jobs.add(a_job("j1"))
        with catalog.reading() as books:
            assert books.items.list("south") == books.jobs.list("south") == ()
            with pytest.raises(Missing, match="south has no item"):
                books.items.get("south", WEB.id)
            with pytest.raises(Missing, match="south has no job"):
                books.jobs.get("south", JobId("j1"))

    def test_every_field_of_a_noun_comes_back(self, catalog: Catalog) -> None:
        tasks = (Task("fence", TaskState.FAILED, 1.0, 2.0, "x", Failure("code", "message", "cure")),)
        job = a_job("j1", input={"point": "web/3", "n": 1, "no": None}, by="Zoë", tasks=tasks, runner="n1")
        route = Route("h1", "web.qmp", "h2", "/points", "/key", "daily")
        item = replace(WEB, protection=Protection.COMMITTED, point="web/3", generation=4, route=route)
        item = replace(item, mapping="site-1/blue/m1")
        with catalog.writing() as books:
            books.jobs.add(job)
            item = books.items.save(item)
        with catalog.reading() as books:
            assert books.jobs.get("north", job.id) == job
            assert books.items.get("north", WEB.id) == item

    def test_an_item_has_one_job_at_a_time(self, catalog: Catalog) -> None:
        with catalog.writing() as books:
            books.jobs.add(a_job("j1"))
        with pytest.raises(Exists, match="a job that has not ended"), catalog.writing() as books:
            books.jobs.add(a_job("j2"))
        with catalog.writing() as books:
            books.jobs.save(replace(books.jobs.get("north", JobId("j1")), state=JobState.FAILED, ended=11.0))
            books.jobs.add(a_job("j2"))
        with pytest.raises(Exists), catalog.writing() as books:
            books.jobs.save(replace(books.jobs.get("north", JobId("j1")), ended=None))

    def test_who_saves_what_was_changed_meanwhile_is_told(self, catalog: Catalog) -> None:
        with catalog.writing() as books:
            books.items.save(replace(WEB, point="web/1"))
            books.jobs.add(a_job("j1"))
            books.jobs.save(a_job("j1"))
        with pytest.raises(Unavailable, match="changed meanwhile"), catalog.writing() as books:
            books.items.save(replace(WEB, point="web/2"))
        with pytest.raises(Unavailable, match="changed meanwhile"), catalog.writing() as books:
            books.jobs.save(a_job("j1"))

    def test_jobs_are_listed_newest_first_and_old_ones_are_forgotten(self, catalog: Catalog) -> None:
        with catalog.writing() as books:
            for number in range(4):
                books.jobs.add(a_job(f"j{number}", created=float(number), ended=10.0 + number))
            assert [job.id for job in books.jobs.list("north", limit=3)] == ["j3", "j2", "j1"]
            assert [job.id for job in books.jobs.list("north", limit=2, after="j3")] == ["j2", "j1"]
            assert books.jobs.list("north", after="j0") == ()
            with pytest.raises(Missing):
                books.jobs.list("north", after="nothing")
            assert {job.id for job in books.jobs.forget(ended_before=12.0)} == {"j0", "j1"}
        with catalog.reading() as books:
            assert [job.id for job in books.jobs.list("north")] == ["j3", "j2"]

    def test_writers_take_turns_so_nobody_acts_on_what_is_no_longer_so(self, catalog: Catalog) -> None:
        def count() -> None:
            for _ in range(10):
                with catalog.writing() as books:
                    item = books.items.get("north", WEB.id)
                    books.items.save(replace(item, generation=item.generation + 1))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with catalog.reading() as books:
            assert books.items.get("north", WEB.id).generation == 40

    def test_who_reads_waits_for_no_writer_and_sees_one_state(self, catalog: Catalog) -> None:
        with catalog.reading() as before:
            assert len(before.vaults.list()) == 2
            with catalog.writing() as books:
                books.vaults.add(Vault("west"))
            assert len(before.vaults.list()) == 2
        with catalog.reading() as after:
            assert len(after.vaults.list()) == 3

    @pytest.mark.parametrize("name", SHELVES)
    def test_a_noun_on_a_shelf_comes_back_with_every_field_and_only_in_its_vault(
        self, catalog: Catalog, name: str
    ) -> None:
        noun = SHELVES[name]
        with catalog.writing() as books:
            getattr(books, name).add(noun)
        with catalog.reading() as books:
            shelf = getattr(books, name)
            assert shelf.get("north", noun.id) == noun
            assert (shelf.list("north"), shelf.list("south")) == ((noun,), ())
            with pytest.raises(Missing, match="south has no"):
                shelf.get("south", noun.id)

    def test_a_shelf_takes_a_name_once_unless_it_is_put_in_place_of_another(self, catalog: Catalog) -> None:
        anna = Assignment("north", "anna", Role.READER)
        with catalog.writing() as books:
            books.assignments.add(anna)
            books.assignments.put(replace(anna, role=Role.OPERATOR))
            books.assignments.put(replace(anna, id="ben"))
            assert [one.role for one in books.assignments.list("north")] == [Role.OPERATOR, Role.READER]
        with pytest.raises(Exists, match="north has a role anna already"), catalog.writing() as books:
            books.assignments.add(anna)
        with pytest.raises(Missing, match="no vault called east"), catalog.writing() as books:
            books.assignments.put(replace(anna, vault="east"))
        with catalog.writing() as books:
            books.assignments.remove("north", "anna")
            with pytest.raises(Missing, match="north has no role anna"):
                books.assignments.remove("north", "anna")

    def test_events_are_listed_newest_first_page_by_page_and_old_ones_are_forgotten(
        self, catalog: Catalog
    ) -> None:
        with catalog.writing() as books:
            for at in (1.0, 2.0, 3.0):
                books.events.add(Event("north", at, "web", "153007", Health.CRITICAL, "late", "look"))
            books.events.add(Event("south", 4.0, "web", "153007", Health.HEALTHY, "on time"))
        with catalog.reading() as books:
            assert [one.at for one in books.events.following("north", 1, 1)] == [2.0]
            newest, second = books.events.list("north", limit=2)
            [last] = books.events.list("north", before=second.number)
            assert [one.at for one in (newest, second, last)] == [3.0, 2.0, 1.0]
            assert replace(last, number=0) == Event(
                "north", 1.0, "web", "153007", Health.CRITICAL, "late", "look"
            )
        with catalog.writing() as books:
            assert books.events.forget(before=3.0) == 2
            assert [one.at for one in books.events.list("north")] == [3.0]

    def test_items_are_listed_by_name_page_by_page_and_open_jobs_by_themselves(
        self, catalog: Catalog
    ) -> None:
        with catalog.writing() as books:
            for name in ("b", "a", "c"):
                books.items.add(replace(WEB, id=f"i-{name}", name=name))
            books.jobs.add(a_job("j1", item="i-a", ended=1.0))
            books.jobs.add(a_job("j2", item="i-a"))
        with catalog.reading() as books:
            assert [item.name for item in books.items.list("north", limit=2, after="a")] == ["b", "c"]
            assert [job.id for job in books.jobs.open()] == ["j2"]
            assert books.jobs.states() == {JobState.QUEUED: 1}
            assert books.jobs.open("south") == ()

    def test_a_vault_goes_with_all_that_is_in_it_but_what_was_done_stays_recorded(
        self, catalog: Catalog
    ) -> None:
        with catalog.writing() as books:
            books.jobs.add(a_job("j1"))
            books.fabrics.add(Fabric("north", "site-1"))
            books.events.add(Event("north", 1.0, "web", "153007", Health.CRITICAL, "late"))
            books.deeds.note("north", Deed(1.0, "anna", "remove-vault", "north"))
        with catalog.writing() as books:
            books.vaults.remove("north")
            with pytest.raises(Missing, match="no vault called north"):
                books.vaults.remove("north")
        with catalog.reading() as books:
            assert books.vaults.list() == (Vault("south"),)
            assert (
                books.items.list("north") == books.events.list("north") == books.fabrics.list("north") == ()
            )
            assert [deed.who for deed in books.deeds.list("north")] == ["anna"]
            assert books.deeds.list("south") == ()

    def test_an_item_goes_with_its_jobs(self, catalog: Catalog) -> None:
        with catalog.writing() as books:
            books.jobs.add(a_job("j1"))
            books.items.remove("north", WEB.id)
            assert books.items.list("north") == books.jobs.list("north") == ()
            with pytest.raises(Missing, match="north has no item i-web"):
                books.items.remove("north", WEB.id)

    def test_every_change_of_a_part_draws_its_stamp_anew_and_nothing_else_does(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        other = opened()
        for part, change in CHANGES:
            before = stamps(catalog)
            with other.writing() as books:
                change(books)
            assert {one for one, stamp in stamps(catalog).items() if stamp != before[one]} == part

    def test_a_stamp_is_drawn_past_the_books_too_and_in_both_vaults_of_what_is_moved(
        self, catalog: Catalog
    ) -> None:
        before = stamps(catalog)
        with catalog.writing() as books:
            connection: Any = books.connection
            connection.exec_driver_sql("UPDATE bascule_items SET vault = 'south' WHERE id = 'i-web'")
        changed = {one for one, stamp in stamps(catalog).items() if stamp != before[one]}
        assert changed == {("north", Part.ITEMS), ("south", Part.ITEMS)}

    def test_a_stamp_that_was_undone_or_was_another_vaults_of_that_name_does_not_come_back(
        self, catalog: Catalog
    ) -> None:
        seen = {stamps(catalog)["north", Part.ITEMS]}

        def note(books: Books) -> None:
            stamp = books.stamp("north", Part.ITEMS)
            assert stamp not in seen
            seen.add(stamp)

        def save_and_fail() -> None:
            with catalog.writing() as books:
                books.items.save(WEB)
                note(books)
                raise ZeroDivisionError

        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                save_and_fail()
        with catalog.writing() as books:
            books.vaults.remove("north")
            note(books)
            books.vaults.add(Vault("north"))
            books.items.add(WEB)
            note(books)


def stamps(catalog: Catalog) -> dict[tuple[str, Part], str]:
    with catalog.reading() as books:
        return {(vault, part): books.stamp(vault, part) for vault in ("north", "south") for part in Part}


HOST: Any = SHELVES["servers"]
WRONG: Any = SHELVES["conditions"]
JOB = a_job("j1")
_I, _J, _S, _C = ({("north", part)} for part in (Part.ITEMS, Part.JOBS, Part.SERVERS, Part.CONDITIONS))
CHANGES: tuple[tuple[set[tuple[str, Part]], Callable[[Books], Any]], ...] = (
    (_I, lambda books: books.items.save(WEB)),
    (_I, lambda books: books.items.add(replace(WEB, id="i-db", name="db"))),
    (_I, lambda books: books.items.remove("north", "i-db")),
    (_J, lambda books: books.jobs.add(JOB)),
    (_J, lambda books: books.jobs.save(replace(JOB, ended=9.0))),
    (_J, lambda books: books.jobs.forget(10.0)),
    (_S, lambda books: books.servers.add(HOST)),
    (_S, lambda books: books.servers.put(replace(HOST, is_revoked=True))),
    (_S, lambda books: books.servers.remove("north", HOST.id)),
    (_C, lambda books: books.conditions.put(WRONG)),
    (_C, lambda books: books.conditions.remove("north", WRONG.id)),
    ({("south", Part.ITEMS)}, lambda books: books.items.add(replace(WEB, vault="south"))),
    (set(), lambda books: books.plans.add(SHELVES["plans"])),
    (set(), lambda books: books.events.add(Event("north", 1.0, "web", "1", Health.WARNING, "late"))),
    (set(), lambda books: books.deeds.note("north", Deed(1.0, "anna", "list-items", ""))),
)
"""What is written in turn, and which stamps that draws."""
