"""A real guest with Debian's agent: its file systems stand still for an instant, never longer (R-RP-1)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.hypervisors.qemu.agent.agent import agent_at
from bascule.drivers.hypervisors.watched import WatchedAgent
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Unavailable
from lab import ledger, machines
from lab.filesystems import ToolFailed
from lab.guests import Guest, agent_channel
from lab.machines import Keeping
from lab.waiting import wait_until
from tests.drivers.hypervisors.qemu.agent.test_agent import freeze_as_another, kill
from tests.lab.test_replicator import COMMAND

pytestmark = pytest.mark.lab

FILE_SYSTEMS = 2


class Site:
    """A guest that keeps its ledger in files of two ext4, and a provider for it."""

    def __init__(self, room: Path, *, agent: bool = True) -> None:
        self.room = room
        keeping = Keeping("alpha", writes_a_record=5, on_files=True, agent=agent)
        definition = machines.make(keeping, room / "disks")
        self.key = KeyFile.create(room / "main.key", SystemIds())
        self.vault = Vault.init(
            LocalStore(room / "store", create=True), self.key, ids=SystemIds(), clock=SystemClock()
        )
        options = [*agent_channel(room / "web.agent"), "-qmp", f"unix:{room / 'web.qmp'},server=on,wait=off"]
        self.guest: Guest = machines.guest(definition, options).start()
        self.provider: subprocess.Popen[bytes] | None = None
        self.guest.hear("ledger: acknowledged")

    def agent(self) -> WatchedAgent:
        return agent_at(self.room / "web.agent", self.room / "own")

    def acknowledged(self) -> int:
        return max(map(int, re.findall(r"ledger: acknowledged (\d+)\s", self.guest.console)), default=0)

    def goes_on(self, seconds: float) -> None:
        """See that the guest writes on."""
        last = self.acknowledged()
        wait_until(lambda: self.acknowledged() > last + 1, seconds)

    def call(self, *words: str | Path) -> Any:
        settings = os.environ | {"BASCULE_KEY_FILE": str(self.room / "main.key")}
        settings["BASCULE_PROVIDER"] = str(self.room / "provider")
        done = subprocess.run([*COMMAND, *words, "--json"], env=settings, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def protect(self, *options: str) -> None:
        words = ["protect", self.room / "web.qmp", self.room / "store", "--group", "web", "--every", "1s"]
        self.call(*words, *options)
        self.provider = subprocess.Popen(
            [*COMMAND, "provider", "run", self.room / "provider"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def status(self) -> dict[str, Any]:
        (found,) = self.call("status", "web")["groups"]
        return dict(found)

    def files(self, number: int) -> list[str]:
        """Take the ledger's files out of a point; ToolFailed if its file systems are not at rest."""
        folder = self.room / f"point{number}"
        folder.mkdir()
        images = []
        with self.vault.peek("web", number) as point:
            for disk in ("disk1", "disk2"):
                source = point.disk(DiskKey("web", disk))
                image = bytearray(source.size_bytes)
                source.read_into(0, memoryview(image))
                images.append(folder / f"{disk}.raw")
                images[-1].write_bytes(image)
        return machines.ledger_files(images, folder)

    def close(self) -> None:
        if self.provider is not None:
            self.provider.kill()
            self.provider.wait()
        self.guest.kill()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_point_of_a_frozen_guest_is_at_rest_and_one_between_is_not(site: Site) -> None:
    """R-RP-1: with the commands before and after, what the application consented to."""
    note = site.room / "told"
    site.protect("--consistent-every", "1h", "--before", f"sh -c 'echo $BASCULE_MACHINES > {note}'")
    wait_until(lambda: site.status()["cycles"] >= 3, 180)
    found = site.status()
    assert found["latest_consistent_at"] is not None
    assert [one["code"] for one in found["reasons"]] == []
    first, second, *_ = site.vault.points("web")
    assert (first.consistency, second.consistency) == ("application", "crash")
    assert note.read_text() == "web\n"
    with ledger.opened(*site.files(first.number)) as disks:
        assert ledger.judge(disks, ledger.Bounds(), name="alpha").last > 0
    with pytest.raises(ToolFailed, match="cut off"):
        site.files(second.number)
    site.goes_on(60)


def test_an_owner_that_is_killed_leaves_a_frozen_guest_for_a_moment_only(site: Site) -> None:
    """R-R-8: by SIGKILL, at any moment; its watch thaws."""
    owner, _ = freeze_as_another(site.room / "web.agent", site.room / "own", 300)
    last = site.acknowledged()
    kill(owner)
    wait_until(lambda: not (site.room / "own" / "frozen").exists())
    wait_until(lambda: site.acknowledged() > last + 1, 60)
    agent = site.agent()
    assert not agent.is_frozen()
    assert agent.freeze() == FILE_SYSTEMS
    assert agent.thaw() == FILE_SYSTEMS


def test_a_guest_is_thawed_after_ten_seconds_whoever_lives(site: Site) -> None:
    """R-R-8: and by the next owner, should owner and watch be killed together."""
    agent = site.agent()
    agent.freeze()
    frozen = time.monotonic()
    wait_until(lambda: not (site.room / "own" / "frozen").exists())
    assert time.monotonic() - frozen > 9, "not before its time either"
    assert agent.thaw() == 0
    owner, watch = freeze_as_another(site.room / "web.agent", site.room / "own", 300)
    os.kill(watch, 9)
    kill(owner)
    after = site.agent()
    assert after.is_frozen()
    after.close()
    after.settle()
    assert not after.is_frozen()
    after.close()
    site.goes_on(60)


def test_a_guest_without_an_agent_becomes_points_on_time(tmp_path: Path) -> None:
    """R-RP-1: they are crash-consistent, and an event says why."""
    site = Site(tmp_path, agent=False)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            site.agent().freeze()
        site.protect("--consistent-every", "1h")
        wait_until(lambda: site.status()["cycles"] >= 3, 120)
        assert {point.consistency for point in site.vault.points("web")} == {"crash"}
        assert [one["code"] for one in site.status()["reasons"]] == ["only-crash-consistent"]
        told = [event["event"] for event in site.call("status", "web", "--events")["events"]]
        assert told.count("only-crash-consistent") == 1
    finally:
        site.close()
