"""An operator types, over HTTPS: from nothing to a protected machine, with server and hosts as processes."""

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
from tests.lab.sides.test_vault import end_all, host

pytestmark = pytest.mark.lab  # real processes, several seconds


class Operator:
    """Types at a desk, signed in at a server that runs, with vault ``north`` and site ``paris``."""

    def __init__(self, desk: Desk, server: VaultServer) -> None:
        self.desk = desk
        self.server = server
        self.hosts: list[subprocess.Popen[str]] = []
        self.ok("login", server.folder)
        self.ok("vault", "create", "north")
        self.ok("site", "create", "paris")

    def ok(self, *words: str | Path) -> Done:
        return self.desk.ok(*words)

    def rows(self, *words: str) -> list[dict[str, str]]:
        found = self.ok(*words, "--json").document["value"]
        assert isinstance(found, list)
        return found

    def join(self, name: str, *options: str | Path) -> str:
        """Let a host join and run; return its id."""
        key = self.desk.path(f"{name}.key")
        self.ok("site", "key", "paris", "--out", key)
        folder = self.desk.path(f"p-{name}")
        done = self.ok("provider", "register", key, "--folder", folder, "--name", name, "--json")
        self.hosts.append(self.desk.start("provider", "run", folder, *options))
        return str(done.document["host"])


@pytest.fixture
def operator(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    desk = Desk(tmp_path_factory.mktemp("v"), capsys)  # sockets of recovered machines need a short path
    desk.init()
    with VaultServer(desk.path("vaults")) as server:
        found = Operator(desk, server)
        yield found
        for process in found.hosts:
            process.kill()
            process.communicate()
        end_all(desk.folder, host(desk.path("one")), host(desk.path("two")))


def test_a_machine_is_protected_by_commands_and_the_server_may_be_killed_meanwhile(
    operator: Operator,
) -> None:
    ok, desk = operator.ok, operator.desk
    one = desk.path("one")
    ok("machine", "define", "web", "--host", one, "--memory", "64M", "--disk", f"disk0={desk.image('w.raw')}")
    ok("machine", "start", "web", "--host", one)
    operator.join("one", "--host", one)
    operator.join("two", "--host", desk.path("two"))
    ok("policy", "set", "quick", "--every", "1s")
    wait_until(lambda: bool(operator.rows("site", "machines", "paris")), 60, "a machine")
    store = ("--store", desk.store, "--key-file", desk.path("main.key"))
    ok("site", "leads", "paris", "--to", "two", *store)
    assert ok("site", "leads", "paris").out.startswith("paris leads to two, by ")
    ok("mapping", "create", "shops", "--site", "paris", "--policy", "quick")
    assert [one["name"] for one in operator.rows("mapping", "ls")] == ["shops"]
    route = ("--from", "one", "--policy", "quick")
    begun = ok("item", "protect", "web", *route, "--json").document["job"]
    operator.server.kill()
    operator.server.restart()
    waited = ok("job", "wait", begun["id"])
    assert waited.out == "Enable replication of web: done.\n"
    wait_until(
        lambda: "Protected" in ok("item", "ls").out.split() or not operator.rows("item", "ls"),
        90,
        "protection",
    )
    assert "web" in ok("point", "ls", "web").out
    assert "Nothing is wrong." in ok("vault", "show").out
    ended = ok("item", "unprotect", "web", "--wait", "--yes")
    assert ended.out.startswith("Ending the protection of web: done")
    assert operator.rows("item", "ls") == []
    lines = list(csv.DictReader(io.StringIO(ok("job", "export").out)))
    assert {line["command"] for line in lines} == {"enable", "finalize", "disable"}
    assert all(line["task_state"] == "succeeded" for line in lines)


def test_what_may_not_be_done_ends_with_two_and_says_what_to_do(operator: Operator) -> None:
    run = operator.desk.run
    done = run("item", "fail-over", "none", "--json")
    assert (done.code, done.error["cure"]) == (2, "`bascule item ls` shows what there is")
    done = run("item", "fail-over", "none", "--vault", "south", "--json")
    assert (done.code, done.error["code"]) == (2, "missing")
    operator.server.kill()
    done = run("item", "ls")
    assert (done.code, "see that `bascule serve` runs there" in done.err) == (3, True)
    assert "connection refused" in done.err


def test_a_principal_may_what_its_role_says_and_is_out_when_it_is_removed(operator: Operator) -> None:
    ok, run, desk = operator.ok, operator.desk.run, operator.desk
    ok("principal", "create", "nightly", "--out", desk.path("nightly.json"))
    ok("role", "set", "nightly", "reader")
    ok("login", desk.path("nightly.json"), "--profile", "nightly")
    ok("profile", "use", "default")
    assert [one["name"] for one in operator.rows("site", "ls", "--profile", "nightly")] == ["paris"]
    done = run("site", "create", "rome", "--profile", "nightly", "--json")
    assert (done.code, done.error["code"]) == (2, "not-permitted")
    assert [one["properties"]["role"] for one in operator.rows("role", "ls")] == ["reader"]
    ok("principal", "remove", "nightly", "--yes")
    done = run("site", "ls", "--profile", "nightly", "--json")
    assert (done.code, done.error["code"]) == (2, "not-let-in")
    said = [(one["what"], one["subject"], one["code"]) for one in operator.rows("record", "ls")]
    assert ("assign-reader", "nightly", "") in said


def test_a_host_that_was_revoked_is_not_let_in_any_more(operator: Operator) -> None:
    name = operator.join("one", "--host", operator.desk.path("one"))
    wait_until(lambda: bool(operator.rows("host", "ls")), 30, "the host")
    assert operator.rows("host", "ls")[0]["name"] == name
    operator.ok("host", "revoke", "one", "--yes")
    assert operator.rows("host", "ls")[0]["properties"]["connectionStatus"] == "Revoked"


def test_the_owner_gets_in_on_the_machine_itself_without_any_secret(operator: Operator) -> None:
    folder = operator.server.folder
    found = operator.ok("owner", folder, "vaults.list", "--json").document["value"]
    assert [one["name"] for one in found] == ["north"]
    done = operator.desk.run("owner", folder, "items.command", "vault=north", "item=x", "command=explode")
    assert (done.code, "'explode' is no command" in done.err) == (2, True)
    operator.server.kill()
    done = operator.desk.run("owner", folder, "vaults.list")
    assert (done.code, "start it: `bascule serve" in done.err) == (3, True)
