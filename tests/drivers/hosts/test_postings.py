"""What jobs have hosts do is given once, told once if it was not done, and never in a later one's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.postings import SqlPostings
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.model.errors import Fenced, Missing, Refused
from bascule.model.items import Headway
from bascule.model.vault.commands import Report, Result
from bascule.ports.vault.hosts import Claim, RegistrationKey
from bascule.ports.vault.postings import Posting, Standing
from tests.contracts.hosts import NOW, certificate

START = Posting("h1", "j1.aa", "start", "web", "web", 4, 2, {"point": 3})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(tmp_path / "hosts.sqlite")) as made:
        yield made


@pytest.fixture
def hosts(database: SqliteDatabase) -> SqlHosts:
    made = SqlHosts(database)
    made.add_key(RegistrationKey("k", "digest", NOW + 1))
    made.register(Claim("h1", "one", "k", "digest"), certificate(), NOW)
    return made


@pytest.fixture
def postings(hosts: SqlHosts, database: SqliteDatabase) -> SqlPostings:
    return SqlPostings(database)


def test_a_posting_is_one_command_however_often_it_is_asked_for(
    hosts: SqlHosts, postings: SqlPostings
) -> None:
    assert postings.ask(START) is None
    assert postings.ask(replace(START, turn=3)) is None
    (command,) = hosts.exchange("h1", 0, (), 10)
    assert (command.id, command.verb, command.arguments) == ("j1.aa", "start", {"point": 3})
    done = Result(1, "j1.aa", True, value="web-2")
    hosts.exchange("h1", 1, (done,), 10)
    assert postings.ask(replace(START, turn=4)) == done
    assert postings.ask(replace(START, turn=5)) == done


def test_what_was_not_done_is_told_once_and_then_tried_again(hosts: SqlHosts, postings: SqlPostings) -> None:
    postings.ask(START)
    refused = Result(1, "j1.aa", False, code="no-room", message="no room")
    hosts.exchange("h1", 1, (refused,), 10)
    assert postings.ask(START) == refused
    assert postings.ask(START) is None
    (command,) = hosts.exchange("h1", 1, (), 10)
    assert (command.sequence, command.id) == (2, "j1.aa")
    assert [order.command.id for order in hosts.orders()] == ["j1.aa.1", "j1.aa"]


@pytest.mark.parametrize("older", [{"generation": 3, "turn": 9}, {"turn": 1}])
def test_who_was_taken_for_dead_posts_nothing_any_more(
    hosts: SqlHosts, postings: SqlPostings, older: dict[str, int]
) -> None:
    postings.ask(START)
    late = replace(START, id="j0.bb", **older)
    with pytest.raises(Fenced, match="later orders"):
        postings.ask(late)
    assert postings.ask(replace(late, item="other")) is None
    assert postings.ask(replace(START, id="look.cc", generation=0, turn=0)) is None, "it changes nothing"
    assert [order.command.id for order in hosts.orders()] == ["j1.aa", "j0.bb", "look.cc"]


def test_who_is_unknown_or_revoked_is_told_nothing(hosts: SqlHosts, postings: SqlPostings) -> None:
    with pytest.raises(Missing):
        postings.ask(replace(START, host="h9"))
    hosts.revoke("h1")
    with pytest.raises(Refused, match="revoked"):
        postings.ask(START)
    assert hosts.orders() == ()


def test_what_a_host_says_of_a_group_is_known_until_it_is_gone(
    hosts: SqlHosts, postings: SqlPostings
) -> None:
    assert postings.said("h1", "web") is None
    hosts.report(Report("h1", 1, 0, {"web": {"state": "replicating"}}), NOW)
    assert postings.said("h1", "web") == {"state": "replicating"}
    hosts.report(Report("h1", 2, 1, {"web~2": {"state": "waiting"}, "webcam": {"state": "paused"}}), NOW)
    assert postings.said("h1", "web") == {"state": "waiting"}, "the newest generation"
    hosts.report(Report("h1", 3, 2, {}, ("web", "web~2")), NOW)
    assert postings.said("h1", "web") is None


def test_a_file_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    with closing(SqliteDatabase(tmp_path / "old.sqlite")) as made, made.write() as rows:
        rows.execute("DROP TABLE ranks")
        rows.execute("DROP TABLE machines")
        rows.execute("DROP TABLE authority")
        rows.execute("DROP TABLE server")
        rows.execute("DROP TABLE principals")
        rows.execute("DROP TABLE devices")
        rows.execute("DROP TABLE ended")
        rows.execute("DROP INDEX ended_orders")
        rows.execute("ALTER TABLE orders DROP COLUMN ended_at")
        rows.execute("ALTER TABLE orders DROP COLUMN headway")
        for table in ("sight", "facts"):
            rows.execute(f"ALTER TABLE {table} DROP COLUMN revision")
        rows.execute("PRAGMA user_version=1")
    with closing(SqliteDatabase(tmp_path / "old.sqlite")) as again, again.read() as rows:
        assert rows.execute("SELECT count(*) FROM ranks").fetchone() == (0,)
        assert rows.execute("SELECT count(*) FROM machines").fetchone() == (0,)


def test_whoever_waits_hears_how_an_order_stands(hosts: SqlHosts, postings: SqlPostings) -> None:
    assert postings.standing("h1", "j1.aa") == Standing(None)
    postings.ask(replace(START, id="j0.bb", verb="fence"))
    postings.ask(START)
    hosts.give("h1", "other", "pause", "db", {})
    hosts.report(Report("h1", 1, 0), NOW)
    assert postings.standing("h1", "j1.aa") == Standing(NOW, ("fence",))
    hosts.exchange("h1", 0, (Result(1, "j0.bb", True),), 9)
    far = Headway(5, 10, 2.0, None)
    hosts.report(Report("h1", 2, 1, errands={"j1.aa": far, "j0.bb": far, "unknown": far}), NOW + 1)
    assert postings.standing("h1", "j1.aa") == Standing(NOW + 1, (), far)
    assert postings.standing("h1", "j0.bb").headway is None, "it has a result"
