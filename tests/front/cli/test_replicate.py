"""``bascule replicate`` with a machine of the fake hypervisor."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeMachine
from bascule.model.errors import Unavailable
from bascule.ports.disks import DiskSource
from bascule.ports.machines import RunningMachine

BLOCK = 65536


class FakeTools(SystemTools):
    """The tools of the command line, with a machine in memory; ``before`` runs before each adoption."""

    def __init__(self, settings: dict[str, str], host: FakeHost) -> None:
        super().__init__(settings)
        self.host = host
        self.before: Callable[[], None] = lambda: None

    def open_machine(self, qmp: Path, folder: Path) -> RunningMachine:
        self.before()
        return FakeMachine(self.host, self.clock, self.ids)

    def open_source(self, words: str) -> DiskSource:
        return self.host.open(words)


@pytest.fixture
def tools(stocked) -> FakeTools:
    return FakeTools(stocked.settings, FakeHost({"disk0": os.urandom(20 * BLOCK)}, name="web server"))


def events(capture: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def test_points_follow_each_other_and_later_runs_go_on(stocked, tools: FakeTools, capsys) -> None:
    words = ["replicate", "/run/living.qmp", stocked.store, "--every", "0s", "--json"]
    capsys.readouterr()
    assert run([*words, "--points", "3"], tools) == 0
    first, *later = events(capsys)
    assert first["event"] == "point"
    assert first["point"]["group"] == "living", "named after the socket"
    assert first["read_bytes"] == 20 * BLOCK
    assert [done["read_bytes"] for done in later] == [0, 0]
    tools.host.write("disk0", 5 * BLOCK, b"changed")
    assert run([*words, "--points", "1"], tools) == 0
    (again,) = events(capsys)
    assert (again["read_bytes"], again["compared"]) == (BLOCK, [])


def test_a_machine_that_is_away_is_waited_for_and_ctrl_c_ends_that_in_order(
    stocked, tools: FakeTools, capsys
) -> None:
    def away() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise Unavailable("nobody answers", cure="start it")

    tools.before = away
    capsys.readouterr()
    assert run(["replicate", "/run/living.qmp", stocked.store, "--json"], tools) == 0
    (waiting,) = [event for event in events(capsys) if event["event"] == "waiting"]
    assert (waiting["message"], waiting["cure"]) == ("nobody answers", "start it")
    assert 59 <= waiting["retry_seconds"] <= 60


def test_ctrl_c_in_a_point_gives_it_up_and_takes_nothing_from_the_machine(
    stocked, tools: FakeTools, capsys
) -> None:
    tools.before = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert run(["replicate", "/run/living.qmp", stocked.store], tools) == 0
    assert "Stopped; the point under way was given up" in capsys.readouterr().err
    assert tools.host.images == {}
    assert all(disk.records == {} for disk in tools.host.disks.values())


def test_several_machines_make_points_of_one_group(stocked, tools: FakeTools, capsys) -> None:
    db = FakeHost({"disk0": os.urandom(4 * BLOCK)}, name="db")
    hosts = {"web": tools.host, "db": db}
    tools.open_machine = lambda qmp, folder: FakeMachine(hosts[qmp.stem], tools.clock, tools.ids)
    tools.open_source = lambda words: next(
        host.open(words) for host in hosts.values() if words in host.images
    )
    words = ["replicate", "/run/web.qmp", "/run/db.qmp", stocked.store]
    capsys.readouterr()
    assert run([*words, "--points", "1"], tools) == 2
    assert "name it with --group" in capsys.readouterr().err
    words += ["--group", "shop", "--every", "0s"]
    assert run([*words, "--points", "1", "--json"], tools) == 0
    (made,) = events(capsys)
    assert [machine["id"] for machine in made["point"]["machines"]] == ["web", "db"]
    assert (made["absent"], made["point"]["complete"]) == ({}, True)
    db.is_up = False
    assert run([*words, "--points", "1"], tools) == 0
    assert "Without db: the machine is gone" in capsys.readouterr().out
