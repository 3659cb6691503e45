"""Hosts in an SQLite file, and in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.drivers.hosts.audit import SqlAudit
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.postgres import PostgresDatabase
from bascule.drivers.hosts.postings import SqlPostings
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.model.errors import Damaged, Fenced, Unavailable
from bascule.model.vault.commands import Result
from bascule.ports.vault.audit import Deed
from bascule.ports.vault.postings import Posting
from bascule.wire.control.messages import Report
from tests.contracts.hosts import NOW, HostsContract, certificate
from tests.servers.postgres import Postgres


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(tmp_path / "vault" / "hosts.sqlite")) as made:
        yield made


class TestSqlHosts(HostsContract):
    @pytest.fixture
    def hosts(self, database: SqliteDatabase) -> SqlHosts:
        return SqlHosts(database)

    def test_another_process_sees_the_same(
        self, joined: SqlHosts, tmp_path: Path, database: SqliteDatabase
    ) -> None:
        with closing(SqliteDatabase(tmp_path / "vault" / "hosts.sqlite")) as again:
            other = SqlHosts(again)
            other.give("h1", "o1", "pause", "web", {})
            other.admit(certificate(), NOW)
        assert [order.command.id for order in joined.orders()] == ["o1"]
        assert joined.all()[0].seen_at == NOW

    def test_what_a_database_lost_is_not_taken_for_what_came_after(
        self, joined: SqlHosts, database: SqliteDatabase
    ) -> None:
        joined.report(Report("h1", 1, 0, {"web": {"n": 1}}), NOW)
        with database.read() as rows:
            before = {
                table: rows.execute(f"SELECT * FROM {table}").fetchall() for table in ("sight", "facts")
            }
        joined.report(Report("h1", 2, 1, {"web": {"n": 2}}), NOW + 1)
        joined.report(Report("h1", 3, 2, {"web": {"n": 3}}), NOW + 2)
        known = {"h1": joined.all()[0]}
        with database.write() as rows:
            for table, held in before.items():
                rows.execute(f"DELETE FROM {table}")
                rows.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(held[0]))})", held)
        assert joined.report(Report("h1", 4, 3), NOW + 3) == 0, "the host is to say everything"
        joined.report(Report("h1", 5, 0, {"web": {"n": 4}}), NOW + 4)
        assert joined.all(known) == joined.all()
        joined.report(Report("h1", 6, 5, {"web": {"n": 5}}), NOW + 5)
        assert joined.all(known) == joined.all()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.mark.lab
class TestPostgresHosts(HostsContract):
    @pytest.fixture
    def url(self, server: Postgres) -> str:
        return server.database()

    @pytest.fixture
    def hosts(self, url: str) -> Iterator[SqlHosts]:
        with closing(PostgresDatabase(url)) as made:
            yield SqlHosts(made)

    def test_another_server_sees_the_same(self, joined: SqlHosts, url: str) -> None:
        with closing(PostgresDatabase(url)) as again:
            other = SqlHosts(again)
            other.give("h1", "o1", "pause", "web", {})
            other.admit(certificate(), NOW)
            deed = Deed(NOW, "me", "look")
            SqlAudit(again).note(deed)
            assert SqlAudit(again).deeds(5) == (deed,)
        assert [order.command.id for order in joined.orders()] == ["o1"]
        assert joined.all()[0].seen_at == NOW

    def test_a_posting_is_ranked_as_in_a_file(self, joined: SqlHosts, url: str) -> None:
        with closing(PostgresDatabase(url)) as again:
            postings = SqlPostings(again)
            posting = Posting("h1", "j1.00", "protect", "web", "web", 2, 1)
            assert postings.ask(posting) is None
            joined.exchange("h1", 0, (Result(1, "j1.00", True, 7),), 9)
            assert postings.ask(replace(posting, turn=2)) == Result(1, "j1.00", True, 7)
            with pytest.raises(Fenced):
                postings.ask(replace(posting, id="j0.00", generation=1))

    def test_a_database_that_was_away_is_asked_again(self, joined: SqlHosts, server: Postgres) -> None:
        server.stop()
        with pytest.raises(Unavailable, match="the database of the hosts does not answer"):
            joined.all()
        server.start()
        assert [host.id for host in joined.all()] == ["h1"]


def test_the_file_is_its_owners_alone(database: SqliteDatabase, tmp_path: Path) -> None:
    assert (tmp_path / "vault" / "hosts.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "hosts.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(Damaged, match=r"hosts\.sqlite"):
        SqliteDatabase(tmp_path / "hosts.sqlite")


def test_deeds_are_kept_newest_first(database: SqliteDatabase) -> None:
    audit = SqlAudit(database)
    deeds = [Deed(NOW + number, "me", "look", code="refused" * (number % 2)) for number in range(3)]
    for deed in deeds:
        audit.note(deed)
    assert audit.deeds(2) == (deeds[2], deeds[1])
