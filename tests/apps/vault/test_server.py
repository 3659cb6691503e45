"""``bascule serve`` as a process: from nothing to running, killed, stopped in order, and started again."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.front.cli.vault.calling import call
from bascule.model.errors import Missing, Refused, Unavailable
from lab.servers.vaults import MAIN, VaultServer
from lab.waiting import wait_until
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.lab


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VaultServer]:
    with VaultServer(tmp_path / "srv") as server:
        yield server


def figures(server: VaultServer) -> dict[str, float]:
    status, text = server.page("/metrics")
    assert status == 200
    rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def test_one_command_leads_from_nothing_to_a_running_server(server: VaultServer) -> None:
    status, body = server.page("/healthz")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert {one["what"] for one in json.loads(body)["checks"]} == {
        "catalog",
        "jobs",
        "door",
        "watch",
        "api",
        "authority",
        "certificate",
    }
    server.call("vaults.create", name="north")
    with pytest.raises(Refused, match="there is a vault called north"):
        server.call("vaults.create", name="north")
    found = figures(server)
    assert found["bascule_vaults"] == 1
    assert found['bascule_calls_total{call="create-vault",result="done"}'] == 1
    assert found['bascule_calls_total{call="create-vault",result="exists"}'] == 1
    assert server.page("/elsewhere")[0] == 404
    name = pwd.getpwuid(os.geteuid()).pw_name
    deeds = [(deed["who"], deed["what"]) for deed in server.call("vaults.deeds", vault="")]
    assert (f"{name} on this machine", "create-vault") in deeds


def test_a_registration_key_names_the_door_that_is_open(server: VaultServer) -> None:
    server.call("vaults.create", name="north")
    server.call("fabrics.create", vault="north", name="site-1")
    key = server.call("fabrics.invite", vault="north", fabric="site-1", lasts_seconds=60)
    assert key["addresses"] == [server.door]


def test_a_killed_server_starts_again_with_all_that_was_answered(server: VaultServer) -> None:
    for number in range(3):
        server.call("vaults.create", name=f"vault-{number}")
        server.kill()
        server.start()
    assert [one["name"] for one in server.call("vaults.list")] == ["vault-0", "vault-1", "vault-2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_asked_to_stop_stops_in_order(server: VaultServer, number: int) -> None:
    server.call("vaults.list")
    assert server.stop(number) == 0
    with pytest.raises(Unavailable, match="no server runs"):
        server.call("vaults.list")
    assert "event='vault.opened'" in server.log
    assert "event='vault.stopped'" in server.log
    server.start()
    # The look before the stop was only counted, and the stop wrote it down.
    assert ("list-vaults", "looked, 1 times") in {
        (deed["what"], deed["detail"]) for deed in server.call("vaults.deeds", vault="")
    }


def test_a_folder_has_one_server(server: VaultServer) -> None:
    second = VaultServer(server.folder)
    with pytest.raises(RuntimeError, match=rf"ended with 2:(.|\n)*runs in .* already: process {server.pid}"):
        second.start()
    assert server.page("/healthz")[0] == 200


def test_a_check_runs_nothing_and_says_what_is_wrong_and_what_to_do(server: VaultServer) -> None:
    def check(folder: Path, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "serve", str(folder), "--check", "--json", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, {one["what"]: one for one in json.loads(done.stdout)["checks"]}

    code, found = check(server.folder)
    assert (code, list(found)) == (2, ["folder", "no other server"])
    assert f"process {server.pid}" in found["no other server"]["message"]
    assert "stop that one first" in found["no other server"]["cure"]
    free = ("--listen", "127.0.0.1:0", "--api", "127.0.0.1:0")
    code, found = check(server.folder.with_name("other"), *free, "--local", server.local)
    assert (code, found["local port"]["is_met"]) == (3, False)
    assert "--local" in found["local port"]["cure"]
    assert all(one["is_met"] for what, one in found.items() if what != "local port")


def test_an_address_that_is_taken_ends_the_start_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            RuntimeError, match=rf"ended with 3:(.|\n)*cannot listen at {address}(.|\n)*--listen"
        ):
            VaultServer(tmp_path / "srv", "--listen", address).start()
    # What was begun of the server is ready for the next one.
    with VaultServer(tmp_path / "srv") as server:
        assert server.call("vaults.list") == []


def test_only_the_servers_own_user_may_call(server: VaultServer) -> None:
    mode = stat.S_IMODE((server.folder / "local.sock").stat().st_mode)
    assert (mode, stat.S_IMODE(server.folder.stat().st_mode)) == (0o600, 0o700)
    kept = [one for one in server.folder.iterdir() if one.name.startswith(("catalog.db", "hosts.sqlite"))]
    assert {stat.S_IMODE(one.stat().st_mode) for one in kept if not one.name.endswith(".lock")} == {0o600}
    host, _, port = server.local.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as line:
        body = b'{"name": "north"}'
        line.sendall(
            b"POST /v1/vaults.create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        assert line.recv(100).startswith(b"HTTP/1.1 400")
    assert server.call("vaults.list") == []


def test_nobody_is_called_where_no_server_is(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="is no server's folder"):
        call(tmp_path, "vaults.list")
    with VaultServer(tmp_path / "srv") as server, pytest.raises(Missing, match="there is no call /v1/vaults"):
        server.call("vaults.burn")


def test_a_server_keeps_its_vaults_in_postgresql(tmp_path: Path) -> None:
    with Postgres() as postgres:
        place = ("--postgres", postgres.database())
        with VaultServer(tmp_path / "one", *place) as first:
            first.call("vaults.create", name="north")
            assert not (first.folder / "catalog.db").exists()
            assert first.stop() == 0
            shutil.copytree(first.folder / "pki", tmp_path / "two" / "pki")
            with VaultServer(tmp_path / "two", *place) as second:
                assert [one["name"] for one in second.call("vaults.list")] == ["north"]


def test_a_server_whose_catalog_goes_away_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with Postgres() as postgres, VaultServer(tmp_path / "srv", "--postgres", postgres.database()) as server:
        server.call("vaults.create", name="north")
        postgres.stop()
        status, body = server.page("/healthz")
        assert status == 503
        [catalog] = [one for one in json.loads(body)["checks"] if one["what"] == "catalog"]
        assert "see that the database runs" in catalog["cure"]
        with pytest.raises(Unavailable):
            server.call("vaults.list")
        postgres.start()
        wait_until(lambda: server.page("/healthz")[0] == 200, what="a server that is well again")
        assert [one["name"] for one in server.call("vaults.list")] == ["north"]
