"""Commands and a provider of its own process, with machines of the fake hypervisor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.waiting import wait_until
from tests.front.cli.conftest import Desk

from .conftest import Office

pytestmark = pytest.mark.lab


def test_what_is_protected_is_replicated_and_status_says_how_it_stands(office: Office) -> None:
    office.start()
    office.protect("fake:a", "web")
    office.protect("fake:b?disks=2&mib=2", "db")
    wait_until(lambda: all(group["idle_cycles"] > 1 for group in office.status()["groups"]))
    web, db = office.group("web"), office.group("db")
    assert (web["state"], web["health"], web["reasons"]) == ("replicating", "healthy", [])
    assert web["latest_point"]["number"] == 1
    assert web["rpo_seconds"] < web["latest_point_age_seconds"] + 1
    assert (len(db["disks"]), db["read_bytes"]) == (2, 4 << 20)
    text = office.desk.ok("status", "--folder", office.folder).out
    assert "web    healthy  replicating" in text
    assert "2 of 2" in text
    kept = office.desk.ok("store", "ls", office.desk.store, "--json").document
    assert [group["group"] for group in kept["groups"]] == ["db", "web"]


def test_commands_are_heard_by_the_generation_of_the_wish(office: Office) -> None:
    office.start()
    office.protect("fake:a", "web")
    folder = ["--folder", office.folder]
    generation = office.desk.ok("pause", "web", *folder, "--json").document["generation"]
    wait_until(lambda: office.group()["obeyed_generation"] == generation)
    wait_until(lambda: office.group()["state"] == "paused")
    assert office.group()["health"] == "warning"
    office.desk.ok("resume", "web", *folder)
    wait_until(lambda: office.group()["state"] == "replicating")
    office.desk.ok("resync", "web", *folder)
    wait_until(lambda: office.group()["generation"] == office.group()["obeyed_generation"])
    wait_until(lambda: office.group()["marked_for_resync"] is None)
    said = office.desk.ok("status", "web", *folder, "--events").out
    assert "paused" in said
    assert "marked-for-resync" in said
    office.desk.ok("unprotect", "web", *folder)
    wait_until(lambda: not (office.folder / "machines" / "web").exists())
    assert "Nothing is protected here" in office.desk.ok("status", *folder).out


def test_a_provider_that_is_killed_is_missed_and_the_next_one_goes_on(office: Office) -> None:
    office.start()
    office.protect("fake:a", "web", "--resync-hours", "any")
    wait_until(lambda: office.group()["cycles"] == 1)
    office.kill()
    found = office.group()
    assert (found["health"], found["reasons"][0]["code"]) == ("warning", "no-heartbeat")
    assert "provider run" in found["reasons"][0]["cure"]
    office.start()
    wait_until(lambda: office.group()["cycles"] == 2)
    assert office.group()["health"] == "healthy"


def test_sigterm_ends_the_provider_in_order(office: Office) -> None:
    office.start()
    office.protect("fake:a", "web")
    wait_until(lambda: office.group()["cycles"] == 1)
    assert office.process is not None
    office.process.terminate()
    _, said = office.process.communicate(timeout=30)
    assert (office.process.returncode, "Stopping in order" in said) == (0, True)


@pytest.mark.parametrize(
    ("change", "rule", "cure"),
    [
        (["--key-file", "other.key"], "store", "key"),
        (["--group", "taken"], "group", "--take-over"),
    ],
)
def test_what_is_missing_is_named_with_its_cure_before_anything_is_wished(
    office: Office, change: list[str], rule: str, cure: str
) -> None:
    """R-P-2."""
    desk = office.desk
    desk.ok("key", "create", desk.path("other.key"))
    desk.ok("copy", desk.image("x.raw"), desk.store, "--group", "taken")
    # What was copied there is compared with, and that would wait for its hours.
    hours = ("--resync-hours", "any")
    words = ["protect", "fake:a", desk.store, "--folder", office.folder, *hours, "--json"]
    change = [str(desk.path(word)) if word.endswith(".key") else word for word in change]
    done = desk.run(*words, *change)
    assert done.code == 2
    assert (done.error["code"], cure in done.error["cure"]) == (rule, True)
    assert office.status()["groups"] == []
    if rule == "group":
        desk.ok(*words, *change, "--take-over", "--resync-hours", "any")
        office.start()
        wait_until(lambda: office.group("taken")["state"] == "replicating")


def test_a_machine_that_is_off_may_be_protected_and_is_waited_for(office: Office) -> None:
    office.start()
    office.protect(str(office.desk.path("absent.qmp")), "web")
    wait_until(lambda: office.group()["state"] == "machine is off")
    assert office.group()["error"] is None


def test_check_looks_at_all_groups_again(office: Office) -> None:
    office.protect("fake:a", "web")
    done = office.desk.ok("provider", "check", "--folder", office.folder, "--json").document
    (found,) = done["groups"]
    assert [one["rule"] for one in found["findings"]] == ["store", "group", "machine", "room"]
    assert all(one["is_met"] for one in found["findings"])


def test_a_group_that_is_not_there_and_a_provider_that_is_not_named_are_refused(office: Office) -> None:
    done = office.desk.run("pause", "nobody", "--folder", office.folder, "--json")
    assert (done.code, done.error["code"]) == (2, "missing")
    done = office.desk.run("status", "--json")
    assert (done.code, "--folder" in done.error["cure"]) == (2, True)


def test_points_at_rest_are_asked_for_and_shown(office: Office) -> None:
    """R-RP-1."""
    office.start()
    note = office.desk.path("note")
    said = office.protect("fake:a", "web", "--consistent-every", "1h", "--after", f"touch {note}")
    wait_until(lambda: office.group()["latest_consistent_at"] is not None)
    assert office.group()["latest_point"]["consistency"] == "filesystem"
    assert note.exists()
    assert "agent: the guest agent of fake:a answers" in said.err
    assert "AT REST" in office.desk.ok("status", "--folder", office.folder).out
    assert "filesystem" in office.desk.ok("store", "ls", office.desk.store, "web").out


@pytest.mark.parametrize(
    "options",
    [
        ["--consistent-every", "1s", "--every", "5s"],
        ["--consistent-every", "1h", "--before", "an 'open quote"],
    ],
)
def test_what_cannot_be_consistent_is_refused(office: Office, options: list[str]) -> None:
    words = ["protect", "fake:a", office.desk.store, "--group", "web", "--folder", office.folder, *options]
    said = office.desk.run(*words)
    assert said.code == 2
    assert not (office.folder / "machines" / "web" / "wish.json").exists()


def test_a_group_has_a_limit_threads_and_applications_of_its_own(office: Office) -> None:
    """R-R-4, R-RP-1."""
    office.protect(
        "fake:a", "web", *("--limit", "5M,1M@mon-fri/08:00-18:00", "--workers", "1", "--application", "mysql")
    )
    wish = office.folder / "machines" / "web" / "wish.json"
    policy = json.loads(wish.read_text())["policy"]
    found = (policy["limit"], policy["workers"], policy["applications"])
    assert found == ("5M,1M@mon-fri/08:00-18:00", 1, ["mysql"])
    words = ["protect", "fake:a", office.desk.store, "--folder", office.folder]
    for option, wrong in (("--limit", "fast"), ("--application", "oracle"), ("--cluster", "a b")):
        assert office.desk.run(*words, option, wrong).code == 2


def test_a_machine_of_libvirt_is_protected_by_the_words_it_was_named_by(office: Office) -> None:
    """And a path by its whole name, for the provider may run elsewhere."""
    office.protect("libvirt+unix:///system?socket=/run/none#web", "web", "--no-check")
    assert office.group()["machines"] == ["libvirt+unix:///system?socket=/run/none#web"]
    office.protect("host#db", "db", "--no-check")
    assert office.group("db")["machines"] == [f"{Path('host').absolute()}#db"]


def test_a_folder_too_deep_for_sockets_is_told_of_at_the_start(desk: Desk) -> None:
    run = ("provider", "run", desk.path("provider"), "--host", desk.path("vm"), "--replicas")
    done = desk.run(*run, "/" + "r" * 90, "--json")
    assert (done.code, done.error["code"]) == (2, "path-too-long")
    assert "--replicas FOLDER" in done.error["cure"]
    process = desk.start(*run, "/" + "r" * 70)  # nothing is made there before a machine is taken over
    try:
        assert process.stdout is not None
        assert "The provider runs" in process.stdout.readline()
        assert "machines with short names fit" in process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
