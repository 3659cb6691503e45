"""The catalog keeps its contract on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.catalog.documents import item_of, job_of
from bascule.drivers.catalog.tables import METADATA
from bascule.model.errors import Damaged, Refused, Unavailable
from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Part
from tests.contracts.catalog import CatalogContract
from tests.servers.postgres import Postgres


class TestOnSqlite(CatalogContract):
    @pytest.fixture
    def words(self, tmp_path: Path) -> str:
        return str(tmp_path / "catalog.db")

    def test_a_commit_is_on_the_disk_before_it_returns(self, words: str) -> None:
        catalog = SqlCatalog(words)
        with catalog.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        catalog.close()

    def test_tables_are_what_the_migrations_make(self, words: str) -> None:
        catalog = SqlCatalog(words)
        with catalog.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        catalog.close()

    def test_what_was_there_before_there_were_stamps_has_some(self, words: str) -> None:
        catalog = SqlCatalog(words)
        with catalog.writing() as books:
            books.vaults.add(Vault("north"))
            books.items.add(ProtectedItem("i-web", "north", "web"))
        with catalog.engine.begin() as connection:
            made = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for name in made.scalars().all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql("DROP TABLE bascule_stamps")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0004'")
        catalog.close()
        catalog = SqlCatalog(words)
        with catalog.reading() as books:
            assert len(books.stamp("north", Part.ITEMS)) > len(books.stamp("north", Part.JOBS))
        catalog.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.mark.lab
class TestOnPostgres(CatalogContract):
    @pytest.fixture
    def words(self, server: Postgres) -> str:
        return server.database()

    def test_tables_are_what_the_migrations_make(self, words: str) -> None:
        catalog = SqlCatalog(words)
        with catalog.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        catalog.close()


def test_a_place_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no catalog is kept in mysql"):
        SqlCatalog("mysql://somewhere/else")
    with pytest.raises(Unavailable, match="unable to open database file"):
        SqlCatalog(str(tmp_path / "absent" / "catalog.db"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "x"}', '{"protection": "sleeping"}'])
def test_a_document_that_makes_no_sense_is_damaged(text: str) -> None:
    with pytest.raises(Damaged, match="an item in the catalog cannot be read"):
        item_of(text)
    with pytest.raises(Damaged, match="a job in the catalog cannot be read"):
        job_of(text)
