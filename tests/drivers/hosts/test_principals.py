"""Principals in a file and in a real PostgreSQL: they outlive whoever wrote them, and servers share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.hosts.postgres import PostgresDatabase
from bascule.drivers.hosts.principals import SqlPrincipals
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.hosts.tables import Database
from bascule.model.errors import Damaged, Exists, Missing
from bascule.model.vault.principal import Principal, Secret
from tests.servers.postgres import Postgres

ANNA = Principal("1", "anna", True, (Secret("s", b"salt", b"digest", 1.0, 2.0),))
Again = Callable[[], SqlPrincipals]


class PrincipalsContract:
    """A subclass gives the fixture ``place``, which opens one database anew."""

    @pytest.fixture
    def again(self, place: Callable[[], Database]) -> Iterator[Again]:
        """Open the same principals, as another server or the next life of one does."""
        with ExitStack() as stack:
            yield lambda: SqlPrincipals(stack.enter_context(closing(place())), SystemIds())

    @pytest.fixture
    def kept(self, again: Again) -> SqlPrincipals:
        return again()

    def test_whoever_opens_them_next_is_the_same_server(self, kept: SqlPrincipals, again: Again) -> None:
        kept.add(ANNA)
        other = again()
        assert (other.server, other.key) == (kept.server, kept.key)
        assert other.all() == (other.get("1"),) == (ANNA,)
        other.remove("1")
        assert kept.all() == ()

    def test_names_and_ids_are_taken_once_in_whatever_case(self, kept: SqlPrincipals) -> None:
        kept.add(ANNA)
        for twin in (Principal("1", "otto"), Principal("2", "Anna")):
            with pytest.raises(Exists):
                kept.add(twin)
        assert kept.all() == (ANNA,)

    def test_a_principal_is_replaced_whole(self, kept: SqlPrincipals) -> None:
        kept.add(ANNA)
        kept.put(Principal("1", "anna", False, ()))
        assert kept.all() == (Principal("1", "anna", False, ()),)

    def test_an_ended_session_is_known_to_all_until_it_would_be_over(
        self, kept: SqlPrincipals, again: Again
    ) -> None:
        kept.end_session("a", 10.0, 1.0)
        kept.end_session("a", 10.0, 1.0)
        other = again()
        assert (other.has_ended("a"), other.has_ended("b")) == (True, False)
        other.end_session("b", 20.0, 10.0)
        assert (kept.has_ended("a"), kept.has_ended("b")) == (False, True)

    def test_what_is_not_there_is_missing(self, kept: SqlPrincipals) -> None:
        for call in (lambda: kept.get("1"), lambda: kept.put(ANNA), lambda: kept.remove("1")):
            with pytest.raises(Missing):
                call()
        kept.add(ANNA)
        kept.remove("1")
        assert kept.all() == ()


class TestInAFile(PrincipalsContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Callable[[], Database]:
        return lambda: SqliteDatabase(tmp_path / "hosts.sqlite")

    def test_two_servers_have_nothing_in_common(self, kept: SqlPrincipals, tmp_path: Path) -> None:
        with closing(SqliteDatabase(tmp_path / "other.sqlite")) as database:
            other = SqlPrincipals(database, SystemIds())
        assert kept.server != other.server
        assert kept.key != other.key

    def test_what_makes_no_sense_is_damaged(self, kept: SqlPrincipals, tmp_path: Path) -> None:
        kept.add(ANNA)
        with closing(SqliteDatabase(tmp_path / "hosts.sqlite")) as database, database.write() as rows:
            rows.execute("UPDATE principals SET secrets='[{}]'")
        with pytest.raises(Damaged, match="anna cannot be read"):
            kept.all()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.mark.lab
class TestInPostgres(PrincipalsContract):
    @pytest.fixture
    def place(self, server: Postgres) -> Callable[[], Database]:
        url = server.database()
        return lambda: PostgresDatabase(url)
