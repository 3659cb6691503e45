"""Hosts in an SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bascule.drivers.hosts.audit import SqliteAudit
from bascule.drivers.hosts.database import Database
from bascule.drivers.hosts.sqlite import SqliteHosts
from bascule.model.errors import Damaged
from bascule.ports.vault.audit import Deed
from tests.contracts.hosts import NOW, HostsContract, certificate


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "vault" / "hosts.sqlite")) as made:
        yield made


class TestSqliteHosts(HostsContract):
    @pytest.fixture
    def hosts(self, database: Database) -> SqliteHosts:
        return SqliteHosts(database)

    def test_another_process_sees_the_same(
        self, joined: SqliteHosts, tmp_path: Path, database: Database
    ) -> None:
        with closing(Database(tmp_path / "vault" / "hosts.sqlite")) as again:
            other = SqliteHosts(again)
            other.give("h1", "o1", "pause", "web", {})
            other.admit(certificate(), NOW)
        assert [order.command.id for order in joined.orders()] == ["o1"]
        assert joined.all()[0].seen_at == NOW


def test_the_file_is_its_owners_alone(database: Database, tmp_path: Path) -> None:
    assert (tmp_path / "vault" / "hosts.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "hosts.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(Damaged, match=r"hosts\.sqlite"):
        Database(tmp_path / "hosts.sqlite")


def test_deeds_are_kept_newest_first(database: Database) -> None:
    audit = SqliteAudit(database)
    deeds = [Deed(NOW + number, "me", "look", code="refused" * (number % 2)) for number in range(3)]
    for deed in deeds:
        audit.note(deed)
    assert audit.deeds(2) == (deeds[2], deeds[1])
