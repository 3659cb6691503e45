"""The owner of a server types: from nothing to a protected machine, with a server and hosts as processes."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.servers.vaults import VaultServer
from lab.waiting import wait_until
from tests.front.cli.conftest import Desk, Done

pytestmark = pytest.mark.lab  # real processes, several seconds


class Owner:
    """Types ``bascule vault`` at a server that runs."""

    def __init__(self, desk: Desk, server: VaultServer) -> None:
        self.desk = desk
        self.server = server
        self.hosts: list[subprocess.Popen[str]] = []

    def ok(self, word: str, *words: str | Path) -> Done:
        return self.desk.ok("vault", word, self.server.folder, *words)

    def rows(self, word: str, *words: str) -> list[dict[str, str]]:
        [found] = self.ok(word, *words, "--json").document.values()
        assert isinstance(found, list)
        return found

    def join(self, name: str, *options: str | Path) -> str:
        """Let a host join and run; return its id."""
        key = self.desk.path(f"{name}.key")
        self.ok("key", "north", "paris", "--out", key)
        folder = self.desk.path(name)
        done = self.desk.ok("provider", "register", key, "--folder", folder, "--name", name, "--json")
        self.hosts.append(self.desk.start("provider", "run", folder, *options))
        return str(done.document["host"])


@pytest.fixture
def owner(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> Iterator[Owner]:
    desk = Desk(tmp_path_factory.mktemp("v"), capsys)  # sockets of recovered machines need a short path
    desk.init()
    with VaultServer(desk.path("vaults")) as server:
        found = Owner(desk, server)
        yield found
        for process in found.hosts:
            process.kill()
            process.communicate()


def test_a_machine_is_protected_by_commands_and_the_server_may_be_killed_meanwhile(owner: Owner) -> None:
    owner.ok("create", "north")
    owner.ok("site", "north", "paris")
    source = owner.join("source")
    recovery = owner.join("recovery", "--host", owner.desk.path("vm"))
    wait_until(lambda: len(owner.rows("hosts", "north")) == 2, 30, "two hosts of the vault")
    assert {one["name"] for one in owner.rows("hosts", "north")} == {"source", "recovery"}
    owner.ok("policy", "north", "quick", "--every", "1s", "--rpo", "60s")
    route = ("--from", source, "--machine", "fake:web?mib=2", "--to", recovery, "--policy", "quick")
    store = ("--store", owner.desk.store, "--key-file", owner.desk.path("main.key"))
    job = owner.ok("protect", "north", "web", *route, *store, "--json").document["job"]
    owner.server.kill()
    owner.server.restart()

    def is_protected() -> bool:
        return [one["protection"] for one in owner.rows("items", "north")] == ["protected"]

    wait_until(is_protected, 60, "protection")
    assert f"{job['item']}/1" in owner.ok("points", "north", job["item"]).out
    assert "enable of " in owner.ok("job", "north", job["id"]).out
    assert owner.ok("health", "north").out == "There is nothing.\n"
    disabling = owner.ok("do", "north", job["item"], "disable", "--json").document["job"]
    wait_until(
        lambda: owner.ok("job", "north", disabling["id"], "--json").document["job"]["state"] == "succeeded",
        30,
        "the end of the protection",
    )
    lines = list(csv.DictReader(io.StringIO(owner.ok("export", "north").out)))
    assert {line["command"] for line in lines} == {"enable", "finalize", "disable"}
    assert all(line["task_state"] == "succeeded" for line in lines)
    told = [line for line in owner.server.log.splitlines() if f"job='{disabling['id']}'" in line]
    assert told
    assert all(f"item='{job['item']}'" in line for line in told)


def test_what_the_owner_may_not_do_ends_with_two_and_says_what_to_do(owner: Owner) -> None:
    owner.ok("create", "north")
    done = owner.desk.run("vault", "create", owner.server.folder, "north", "--json")
    assert (done.code, done.error["cure"]) == (2, "choose another name")
    done = owner.desk.run("vault", "do", owner.server.folder, "north", "none", "explode")
    assert (done.code, "'explode' is no command" in done.err) == (2, True)
    owner.ok("role", "north", "anna", "reader")
    owner.ok("role", "north", "anna", "none")
    said = [(one["what"], one["subject"], one["code"]) for one in owner.rows("audit", "north")]
    assert ("assign-reader", "anna", "") in said
    assert ("unassign", "anna", "") in said
    owner.ok("remove", "north")
    assert owner.rows("ls") == []
    owner.server.kill()
    done = owner.desk.run("vault", "ls", owner.server.folder)
    assert (done.code, "start it: `bascule serve" in done.err) == (3, True)


def test_the_machines_that_could_be_protected_are_those_that_the_hosts_have(owner: Owner) -> None:
    owner.ok("create", "north")
    owner.ok("site", "north", "paris")
    vm = owner.desk.path("vm")
    disk = owner.desk.image("web.raw")
    owner.desk.ok("machine", "define", "web", "--host", vm, "--memory", "64M", "--disk", f"disk0={disk}")
    host = owner.join("one", "--host", vm)
    wait_until(lambda: bool(owner.rows("machines", "north")), 30, "a machine")
    assert [(one["server"], one["machine"]) for one in owner.rows("machines", "north")] == [
        (host, f"{vm}#web")
    ]


def test_a_host_that_was_revoked_is_not_let_in_and_joins_again_by_a_key_for_it(owner: Owner) -> None:
    owner.ok("create", "north")
    owner.ok("site", "north", "paris")
    host = owner.join("one")
    wait_until(lambda: bool(owner.rows("hosts", "north")), 30, "the host")
    owner.ok("revoke", "north", host)
    assert [one["is_revoked"] for one in owner.rows("hosts", "north")] == [True]
    again = owner.desk.path("again.key")
    owner.ok("key", "north", "paris", "--out", again, "--host", host)
    folder = owner.desk.path("one")
    owner.desk.ok("provider", "register", again, "--folder", folder)
    wait_until(lambda: owner.rows("hosts", "north")[0]["is_revoked"] is False, 30, "a host let in again")
