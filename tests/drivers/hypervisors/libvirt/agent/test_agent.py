"""A guest of a real libvirtd with Debian's agent in it, and two file systems."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.libvirt.agent.agent import agent_of
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.drivers.hypervisors.watched import WatchedAgent
from bascule.model.errors import Unavailable
from bascule.ports.guests import GuestAgent
from lab import machines
from lab.machines import Keeping
from lab.waiting import wait_until
from tests.contracts.guests import FILE_SYSTEMS, Guest, GuestContract
from tests.servers.libvirtd import Libvirtd

libvirt = pytest.importorskip("libvirt", reason="make check does without it; make test builds it")
libvirt_qemu = pytest.importorskip("libvirt_qemu", reason="as above")

pytestmark = pytest.mark.lab

_OWNER = """
import sys
from pathlib import Path
from bascule.drivers.hypervisors.libvirt.agent.agent import agent_of
agent = agent_of(sys.argv[1], "alpha", Path(sys.argv[2]), 300.0)
print(agent.freeze(), flush=True)
sys.stdin.read()
"""


class Booted:
    """The machine; it serves all tests."""

    def __init__(self, daemon: Libvirtd, room: Path) -> None:
        self.uri, self.room = daemon.uri, room
        self.host = LibvirtHost(daemon.uri, room / "host", SystemClock(), SystemIds())
        self.host.define(machines.make(Keeping("alpha", on_files=True, agent=True), room / "disks"))
        self.host.start("alpha")
        self.connection = libvirt.open(daemon.uri)
        self.domain = self.connection.lookupByName("alpha")
        wait_until(lambda: "ledger: acknowledged" in self.host.console("alpha"), 120)
        wait_until(self._is_there, 60)

    def _is_there(self) -> bool:
        try:
            self.asked("guest-ping")
        except libvirt.libvirtError:
            return False
        return True

    def asked(self, command: str) -> object:
        words = json.dumps({"execute": command})
        return json.loads(libvirt_qemu.qemuAgentCommand(self.domain, words, 20, 0))["return"]

    def end(self) -> None:
        self.host.cut_power("alpha")
        self.host.forget("alpha")
        self.connection.close()


class Watched(Guest):
    """Real watches over it; each test has a folder of its own."""

    def __init__(self, booted: Booted, folder: Path) -> None:
        self.booted, self.folder = booted, folder
        self.made: list[WatchedAgent] = []

    def agent(self, limit: float = 30.0) -> WatchedAgent:
        self.made.append(agent_of(self.booted.uri, "alpha", self.folder, limit))
        return self.made[-1]

    def is_frozen(self) -> bool:
        return self.booted.asked("guest-fsfreeze-status") == "frozen"

    def thaw(self) -> None:
        assert self.booted.domain.fsThaw() == FILE_SYSTEMS

    def fall_silent(self) -> None:
        self.booted.domain.suspend()

    def freeze_and_die(self) -> None:
        words = [sys.executable, "-c", _OWNER, self.booted.uri, str(self.folder)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
            assert owner.stdout is not None
            assert int(owner.stdout.readline()) == FILE_SYSTEMS
            assert self.is_frozen()
            owner.kill()

    def kill_both(self, agent: GuestAgent) -> None:
        assert isinstance(agent, WatchedAgent)
        assert agent.watched_by is not None
        os.kill(agent.watched_by, signal.SIGKILL)
        self.made.remove(agent)
        agent.close()

    def pass_time(self, seconds: float) -> None:
        wait_until(lambda: not self.is_frozen(), seconds)

    def close(self) -> None:
        for agent in self.made:
            agent.close()
        if self.booted.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            self.booted.domain.resume()
        wait_until(lambda: not self.is_frozen(), 30)


@pytest.fixture(scope="module")
def booted(libvirtd: Libvirtd) -> Iterator[Booted]:
    room = Path(tempfile.mkdtemp(prefix="bsc-"))  # names of sockets must be short
    made = Booted(libvirtd, room)
    yield made
    made.end()
    shutil.rmtree(room)


@pytest.fixture
def guest(booted: Booted, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(booted, tmp_path)
    yield made
    made.close()


class TestLibvirtAgent(GuestContract):
    """R-RP-1, R-R-8: the contract, with a real guest."""


def test_a_machine_that_is_not_there_means_that_nothing_was_frozen(
    libvirtd: Libvirtd, tmp_path: Path
) -> None:
    agent = agent_of(libvirtd.uri, "ghost", tmp_path / "own")
    with pytest.raises(Unavailable, match="ghost"):
        agent.freeze()
    agent.close()
    assert not (tmp_path / "own" / "frozen").exists()
