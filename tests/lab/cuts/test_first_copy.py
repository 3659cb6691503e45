"""A first copy that is cut short again and again: the provider dies, the machine, the host, or the store.

R-P-3, R-R-10: of each cut at most 2 % of the disk is sent again. What counts is what reached the store's
folder, or its server, in all lives together, against what the disk holds.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.objects.factory import open_store
from bascule.model.items import Facts, State
from bascule.replication.provider.folder import ProviderFolder
from lab.waiting import wait_until
from tests.lab.test_replicator import COMMAND
from tests.servers.moto import Moto
from tests.servers.relay import Relay

from .drives import Drive, written

pytestmark = pytest.mark.lab

SIZE = 256 << 20
AGAIN = 0.02
GROUP = "web"
DISK = DiskKey(GROUP, "disk0")
CUTS = 3


class Host:
    """A machine with one full disk and a provider that replicates it, below one folder."""

    def __init__(
        self, folder: Path, store: str, settings: Mapping[str, str], drives: Sequence[Drive] = ()
    ) -> None:
        self.folder, self.store, self.drives = folder, store, drives
        self.settings = {
            **os.environ,
            **settings,
            "BASCULE_KEY_FILE": str(folder / "main.key"),
            "BASCULE_PROVIDER": str(folder / "provider"),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def fill(self) -> None:
        """Make a store, a full disk, and the wish to have it replicated."""
        key = KeyFile.create(self.folder / "main.key", SystemIds())
        objects = open_store(self.store, create=True, settings=self.settings)
        Vault.init(objects, key, ids=SystemIds(), clock=SystemClock())
        objects.close()
        raw, image = self.folder / "disk.raw", self.folder / "disk.qcow2"
        raw.write_bytes(content())
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
        raw.unlink()
        self.call("protect", str(self.folder / "qmp"), self.store, "--group", GROUP, "--resync-hours", "any")

    def call(self, *words: str) -> None:
        done = subprocess.run([*COMMAND, *words], env=self.settings, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def start_machine(self) -> None:
        """Start it, its processor stopped: nothing is written to its disk."""
        words = ["qemu-system-x86_64", "-S", "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults"]
        words += ["-display", "none", "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"]
        image = f"file.driver=file,file.filename={self.folder / 'disk.qcow2'}"
        words += ["-blockdev", f"driver=qcow2,node-name=d0,{image}"]
        self._start("machine", *words, "-device", "virtio-blk-pci,id=disk0,drive=d0")

    def start_provider(self) -> None:
        self._start("provider", str(COMMAND[0]), "provider", "run", str(self.folder / "provider"))

    def _start(self, name: str, *words: str) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", *words]
        quiet = subprocess.DEVNULL
        self._processes[name] = subprocess.Popen(command, env=self.settings, stdout=quiet, stderr=quiet)

    def kill(self, *names: str) -> None:
        """End processes at once, and return when they have."""
        ended = [self._processes.pop(name) for name in names if name in self._processes]
        for process in ended:
            process.kill()
        for process in ended:
            process.wait()

    def power_up(self) -> None:
        """Find on the drives what was durable when they lost their power."""
        for drive in self.drives:
            drive.exchange()

    def facts(self) -> Facts:
        return ProviderFolder(self.folder / "provider").item(GROUP).facts()

    def is_out(self) -> bool:
        """Has the provider noticed that something it needs is not there?"""
        facts = self.facts()
        return facts.trouble is not None or facts.state is State.OFF

    def wait_for_the_point(self) -> None:
        wait_until(lambda: self.facts().totals.cycles == 1, 120, "the first point")


def moments(seed: str) -> list[float]:
    """Return at which parts of a copy it is cut."""
    chance = Random(seed)
    return sorted(chance.uniform(0.05, 0.85) for _ in range(CUTS))


@cache
def content() -> bytes:
    """What cannot be compressed, so that what is stored is what was sent."""
    chance = Random(256)
    return b"".join(chance.randbytes(1 << 20) for _ in range(SIZE >> 20))


def must_hold_the_disk(host: Host) -> None:
    """The point that came of it all is the disk, byte for byte."""
    objects = open_store(host.store, settings=host.settings)
    try:
        vault = Vault.open(
            objects, KeyFile.read(host.folder / "main.key"), ids=SystemIds(), clock=SystemClock()
        )
        with vault.peek(GROUP) as point:
            found = bytearray(SIZE)
            point.disk(DISK).read_into(0, memoryview(found))
    finally:
        objects.close()
    assert found == content()


class Lives:
    """A store's folder through several lives: what was written to it in each, and what was left of it."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.again = 0

    def reaches(self, part: float) -> Callable[[], bool]:
        return lambda: written(self._store) >= part * SIZE

    def end(self, survivors: Callable[[], None]) -> None:
        """Count as sent again what was written by now, and is not there any more after ``survivors``."""
        sent = written(self._store)
        survivors()
        partly = self._store / "+incoming"
        self.again += sent - (written(self._store) - written(partly))

    def must_have_sent_next_to_nothing_twice(self, cuts: int) -> None:
        again = self.again + written(self._store) - SIZE
        assert 0 < again <= cuts * AGAIN * SIZE, "what is more than the disk, maps and keys among it"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder with a short name: those of sockets in it are bounded, and pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="cut-") as name:
        yield Path(name)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host of which all stands on drives that can lose their power, the store on one of its own."""
    drives = [Drive.new(tmp_path / f"{name}.ext4", tmp_path / name, 2 << 30) for name in ("here", "there")]
    here, there = (drive.mount for drive in drives)
    made = Host(here, str(there / "store"), {}, drives)
    try:
        made.fill()
        for drive in drives:
            drive.flush()
        yield made
    finally:
        made.kill("provider", "machine")
        for drive in drives:
            drive.leave()


@pytest.fixture
def lives(host: Host) -> Lives:
    return Lives(Path(host.store))


def test_a_provider_that_is_killed_while_it_copies_sends_next_to_nothing_twice(
    host: Host, lives: Lives
) -> None:
    host.start_machine()
    for part in moments("provider"):
        host.start_provider()
        wait_until(lives.reaches(part), 120)
        host.kill("provider")
        lives.end(lambda: None)
        assert host.facts().newest is None, "killed too late to tell anything"
    host.start_provider()
    host.wait_for_the_point()
    lives.must_have_sent_next_to_nothing_twice(CUTS)
    must_hold_the_disk(host)


def test_a_machine_that_is_killed_while_it_is_copied_costs_next_to_nothing_twice(
    host: Host, lives: Lives
) -> None:
    host.start_provider()
    for part in moments("machine"):
        host.start_machine()
        host.call("resume", GROUP)
        wait_until(lives.reaches(part), 120)
        host.kill("machine")
        wait_until(host.is_out, 60, "the end of the machine to be noticed")
        lives.end(lambda: None)
        assert host.facts().newest is None, "killed too late to tell anything"
    host.start_machine()
    host.call("resume", GROUP)
    host.wait_for_the_point()
    lives.must_have_sent_next_to_nothing_twice(CUTS)
    must_hold_the_disk(host)


def test_a_host_that_loses_its_power_while_it_copies_sends_next_to_nothing_twice(
    host: Host, lives: Lives
) -> None:
    """Machine, provider and store at once, and whatever nobody had flushed to a drive."""
    for part in moments("host"):
        host.start_machine()
        host.start_provider()
        wait_until(lives.reaches(part), 120)
        for drive in host.drives:
            drive.cut()
        host.kill("machine", "provider")
        lives.end(host.power_up)
        assert host.facts().newest is None, "cut too late to tell anything"
    host.start_machine()
    host.start_provider()
    host.wait_for_the_point()
    lives.must_have_sent_next_to_nothing_twice(CUTS)
    must_hold_the_disk(host)


def test_a_store_whose_drive_fails_while_a_machine_is_copied_costs_next_to_nothing_twice(
    host: Host, lives: Lives
) -> None:
    """The provider and the machine live on; the store is there again under the same name."""
    host.start_machine()
    host.start_provider()
    for part in moments("store"):
        wait_until(lives.reaches(part), 120)
        host.drives[-1].cut()
        wait_until(host.is_out, 60, "the end of the store to be noticed")
        lives.end(host.drives[-1].exchange)
        assert host.facts().newest is None, "cut too late to tell anything"
        host.call("resume", GROUP)
    host.wait_for_the_point()
    lives.must_have_sent_next_to_nothing_twice(CUTS)
    must_hold_the_disk(host)


def test_a_server_that_dies_while_a_machine_is_copied_to_it_is_sent_next_to_nothing_twice(
    tmp_path: Path,
) -> None:
    """It comes back with all that it had said is stored. Counted is what came to it over the wire."""
    with Moto() as moto:
        moto.create_bucket("points")
        relay = Relay(int(moto.endpoint.rpartition(":")[2]))
        host = Host(tmp_path, "s3://points", moto.environment() | {"AWS_ENDPOINT_URL": relay.url})
        try:
            host.fill()
            host.start_machine()
            host.start_provider()
            for part in moments("server"):
                wait_until(lambda part=part: relay.sent >= part * SIZE, 120)
                relay.cut()
                wait_until(lambda: relay.missed > 0, 60, "somebody who asks again")
                relay.heal()
                assert host.facts().newest is None, "cut too late to tell anything"
            host.wait_for_the_point()
            assert SIZE < relay.sent <= (1 + CUTS * AGAIN) * SIZE
            must_hold_the_disk(host)
        finally:
            host.kill("provider", "machine")
            relay.close()
