from __future__ import annotations

import time
from pathlib import Path

import pytest

MIB = 1 << 20


def test_a_store_is_made_where_nothing_is_and_shows_who_can_open_it(desk) -> None:
    desk.ok("key", "create", desk.path("main.key"))
    made = desk.ok("store", "init", desk.store, "--label", "first", "--json").document
    shown = desk.ok("store", "show", desk.store, "--json").document
    assert shown["vault"] == made["vault"]
    assert [(key["kind"], key["label"]) for key in shown["keys"]] == [("file", "first")]
    assert shown["groups"] == []


def test_a_store_is_not_made_twice(stocked) -> None:
    again = stocked.run("store", "init", stocked.store)
    assert again.code == 2
    assert "not empty" in again.err
    assert "what to do:" in again.err


def test_a_store_that_is_not_there_is_refused_with_a_cure(desk) -> None:
    desk.ok("key", "create", desk.path("main.key"))
    absent = desk.run("store", "ls", desk.path("nowhere"))
    assert absent.code == 2
    assert "nowhere" in absent.err
    assert "what to do:" in absent.err


def test_an_empty_folder_is_no_store(desk) -> None:
    desk.ok("key", "create", desk.path("main.key"))
    desk.path("empty").mkdir()
    answer = desk.run("store", "ls", desk.path("empty"), "--json")
    assert answer.code == 2
    assert answer.error["code"] == "no-vault"
    assert "store init" in answer.error["cure"]
    assert answer.out == ""


def test_groups_and_points_are_listed_oldest_first(stocked) -> None:
    stocked.ok("copy", stocked.image("web.raw", (0, b"other")), stocked.store)
    stocked.ok("copy", stocked.image("db.raw", (0, b"db")), stocked.store, "--group", "db")
    groups = stocked.ok("store", "ls", stocked.store, "--json").document["groups"]
    assert [(group["group"], group["newest"]["number"]) for group in groups] == [("db", 1), ("web", 3)]
    points = stocked.ok("store", "ls", stocked.store, "web", "--json").document["points"]
    assert [point["number"] for point in points] == [1, 3]
    assert points[0]["captured_at"] < points[1]["captured_at"]
    text = stocked.ok("store", "ls", stocked.store, "web").out.splitlines()
    assert [line.split()[0] for line in text] == ["POINT", "web/1", "web/3"]


def test_a_point_is_shown_with_its_machines_and_disks(stocked) -> None:
    point = stocked.ok("store", "show", stocked.store, "web/1", "--json").document
    assert point["size_bytes"] == 3 * MIB
    assert point["machines"][0]["disks"][0]["id"] == "disk0"
    assert "disk0" in stocked.ok("store", "show", stocked.store, "web").out


@pytest.mark.parametrize("name", ["web/9", "none", "none/1"])
def test_a_point_that_is_not_there_is_refused(stocked, name: str) -> None:
    assert stocked.run("store", "show", stocked.store, name).code == 2


@pytest.mark.parametrize("name", ["/1", "web/x", "web/-1", "web/1/2", ""])
def test_a_name_that_names_no_point_is_refused_before_the_store_is_opened(desk, name: str) -> None:
    answer = desk.run("store", "lock", desk.path("nowhere"), name, "--for", "1d")
    assert answer.code == 2
    assert "does not name a point" in answer.err


def test_a_locked_point_says_until_when(stocked) -> None:
    stocked.ok("store", "lock", stocked.store, "web", "--until", "2199-01-31")
    point = stocked.ok("store", "show", stocked.store, "web/1", "--json").document
    assert point["locked_until"].startswith("2199-01-")


@pytest.mark.parametrize(
    "options", [(), ("--for", "1d", "--until", "2199-01-01"), ("--until", "2001-01-01"), ("--for", "soon")]
)
def test_a_lock_needs_one_end_that_is_to_come(stocked, options: tuple[str, ...]) -> None:
    assert stocked.run("store", "lock", stocked.store, "web", *options).code == 2


def test_a_lock_for_a_span_ends_that_much_from_now(stocked) -> None:
    stocked.ok("store", "lock", stocked.store, "web/1", "--for", "2d")
    listed = [path.name for path in Path(stocked.store).rglob("locks/web/1/*")]
    end = int(listed[0].split("-")[0])
    assert abs(end - time.time() - 2 * 86400) < 3600
