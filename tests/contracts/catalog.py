"""What every Catalog must keep. A subclass gives the fixture ``words``, by which a fresh one is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.model.errors import Exists, Missing, Unavailable
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Failure, Job, JobId, JobState, Task, TaskState
from bascule.model.vault.route import Route
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Catalog

WEB = ProtectedItem("i-web", "north", "web")


def a_job(id: str, **fields: Any) -> Job:
    return replace(Job(JobId(id), "north", "i-web", Command.FAIL_OVER, 3, 10.0), **fields)


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
