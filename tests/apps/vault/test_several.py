"""Several servers on one PostgreSQL: the others go on with the jobs and the hosts of one that died."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bascule.apps.vault.api_door import FIRST
from lab.servers.vaults import VaultServer
from lab.waiting import wait_until
from tests.apps.vault.test_api_door import clients
from tests.front.cli.conftest import Desk
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.lab  # real processes and a real PostgreSQL


def free_addresses(count: int) -> list[str]:
    with ExitStack() as held:
        made = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in made]


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path_factory.mktemp("v"), capsys)  # sockets of recovered machines need a short path


@pytest.fixture
def servers(desk: Desk) -> Iterator[list[VaultServer]]:
    """Two servers with one database and one authority, not started."""
    with Postgres() as postgres, ExitStack() as running:
        url, addresses = postgres.database(), free_addresses(2)
        found = []
        for number, address in enumerate(addresses):
            told = [word for one in addresses for word in ("--address", one)]
            words = ("--postgres", url, "--listen", address, *told)
            found.append(VaultServer(desk.path(f"srv-{number}"), *words))
            running.push(found[-1].__exit__)
        yield found


def test_the_jobs_and_hosts_of_a_server_that_died_go_on_with_another(
    desk: Desk, servers: list[VaultServer]
) -> None:
    first, second = servers
    desk.init()
    first.start()
    first.call("vaults.create", name="north")
    first.call("fabrics.create", vault="north", name="paris")
    key = first.call("fabrics.invite", vault="north", fabric="paris", lasts_seconds=600)
    desk.path("join.key").write_text(json.dumps(key))
    first.call("policies.put", vault="north", name="quick", policy={"interval_seconds": 1})
    shutil.copytree(first.folder / "pki", desk.path("srv-1") / "pki")
    second.start()
    hosts: list[str] = []
    processes: list[subprocess.Popen[str]] = []
    for name in ("source", "recovery"):
        folder = desk.path(name)
        done = desk.ok("provider", "register", desk.path("join.key"), "--folder", folder, "--json")
        hosts.append(done.document["host"])
        processes.append(desk.start("provider", "run", folder, "--host", desk.path("vm")))
    said = json.loads((first.folder / FIRST).read_text())
    try:
        wait_until(lambda: len(second.call("fabrics.servers", vault="north")) == 2, 30, "both hosts")
        route = {"source": hosts[0], "machine": "fake:web?mib=2", "recovery": hosts[1], "policy": "quick"}
        place = {"store": desk.store, "key_file": str(desk.path("main.key"))}
        first.call("items.enable", vault="north", name="web", **route, **place)
        first.kill()

        def is_protected() -> bool:
            return [one["protection"] for one in second.call("items.list", vault="north")] == ["protected"]

        wait_until(is_protected, 90, "protection, by the other server")
        jobs = second.call("jobs.list", vault="north")
        assert [(job["command"], job["state"]) for job in jobs] == [
            ("finalize", "succeeded"),
            ("enable", "succeeded"),
        ]
        # Whoever signed in at one server is known at the other one, which made no principal of its own.
        assert not (second.folder / FIRST).exists()
        _, recovery = clients({**said, "url": second.api})
        assert [one.name for one in recovery.replication_fabrics.list("bascule", "north")] == ["paris"]
        tasks = [task["name"] for job in jobs for task in job["tasks"]]
        assert len(tasks) == len(set(tasks))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_server_whose_authority_the_hosts_do_not_know_does_not_start(servers: list[VaultServer]) -> None:
    first, second = servers
    first.start()
    with pytest.raises(RuntimeError, match=r"ended with 2:(.|\n)*another authority(.|\n)*copy pki/ here"):
        second.start()
