"""A living machine under real QEMU, replicated while it writes, and judged point by point."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.disks import bitmaps_in
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Command, Monitor
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Unavailable
from bascule.replication.members import Member
from bascule.replication.replicator import Names, Replicator, World
from lab import stamps
from lab.guests import Guest
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

BLOCKS = 1024
COMPARED = 65536
DISK_BYTES = 256 << 20
NAMES = Names("web", "test")
WEB = "web"
COMMAND = [Path(sys.executable).with_name("bascule")]


def drives(room: Path, count: int) -> list[str]:
    """Make qcow2 disks and return QEMU's arguments for them."""
    words: list[str] = []
    for number in range(count):
        image = room / f"disk{number}.qcow2"
        if not image.exists():
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, str(DISK_BYTES)], check=True)
        node = f"driver=qcow2,node-name=d{number},file.driver=file,file.filename={image},discard=unmap"
        words += ["-blockdev", node, "-device", f"virtio-blk-pci,id=disk{number},drive=d{number}"]
    return words


class Site:
    """A host with one stamping machine, and a store."""

    def __init__(self, room: Path, disks: int) -> None:
        self.room = room
        self.disks = disks
        self.clock = SystemClock()
        key = KeyFile.create(room / "main.key", SystemIds())
        self.vault = Vault.init(
            LocalStore(room / "store", create=True), key, ids=SystemIds(), clock=self.clock
        )
        self.guest = self.boot()

    def boot(self) -> Guest:
        (self.room / "qmp").unlink(missing_ok=True)
        guest = stamps.stamping(
            self.room, drives(self.room, self.disks), blocks=BLOCKS, pause_us=300, qmp=self.room / "qmp"
        )
        guest.start()
        guest.hear("stamped 1")
        return guest

    def machine(self, monitor: Monitor | None = None) -> QemuMachine:
        monitor = monitor or Monitor.connect(self.room / "qmp")
        return QemuMachine(monitor, self.room / "run", self.clock, SystemIds())

    def look(self) -> Monitor:
        return Monitor.connect(self.room / "qmp")

    def replicator(self, monitor: Callable[[Path], Monitor] = Monitor.connect) -> Replicator:
        world = World(self.vault, self.clock, open_source, lambda: Conduct(Meter(self.clock)))
        member = Member(WEB, lambda: self.machine(monitor(self.room / "qmp")))
        return Replicator(world, [member], NAMES)

    def look_away(self, replicator: Replicator) -> Monitor:
        """Have the replicator let go of the monitor, and take it."""
        replicator.close()
        return self.look()

    def must_run(self) -> None:
        """See that the machine runs, soon if not at once."""
        monitor = self.look()
        try:
            wait_until(lambda: monitor.execute("query-status")["running"])
        finally:
            monitor.close()

    def must_be_clean(self) -> None:
        """See that nothing of ours is left but one record, by which the next delta is made."""
        self.must_run()
        monitor = self.look()
        try:
            assert monitor.execute("query-block-exports") == []
            nodes = monitor.execute("query-named-block-nodes")
        finally:
            monitor.close()
        assert [node["node-name"] for node in nodes if node["node-name"].startswith("bascule-")] == []
        assert len({bitmap.name for node in nodes for bitmap in bitmaps_in(node)}) == 1
        assert list((self.room / "run").glob("bascule-f-*")) == []

    def stand_still(self) -> None:
        """Stop the machine: what its disks hold stays as it is."""
        monitor = self.look()
        monitor.execute("stop")
        monitor.close()

    def go_on(self) -> None:
        """Let the machine run again."""
        monitor = self.look()
        monitor.execute("cont")
        monitor.close()

    def must_equal_the_disk(self, disk: int) -> None:
        """Stop the machine, make a last point, and compare it with the disk."""
        self.stand_still()
        replicator = self.replicator()
        replicator.cycle()
        replicator.close()
        assert self.image(disk) == self.truths()[disk]
        self.go_on()

    def truths(self) -> list[bytearray]:
        """Return the stamped part of each disk as the machine has it; nobody else holds the monitor."""
        monitor, shown = self.look(), self.room / "shown"
        monitor.execute("nbd-server-stop")
        monitor.execute("nbd-server-start", addr={"type": "unix", "data": {"path": str(shown)}})
        found = []
        for disk in range(self.disks):
            name = f"shown{disk}"
            monitor.execute("block-export-add", type="nbd", id=name, node_name=f"d{disk}", name=name)
            source = open_source(f"nbd+unix:///{name}?socket={shown}")
            found.append(bytearray(BLOCKS * stamps.BLOCK))
            source.read_into(0, memoryview(found[-1]))
            source.close()
        monitor.execute("nbd-server-stop")
        monitor.close()
        return found

    def image(self, disk: int) -> bytearray:
        """Return the stamped part of a disk at the newest point."""
        image = bytearray(BLOCKS * stamps.BLOCK)
        with self.vault.peek(NAMES.group) as point:
            point.disk(DiskKey(WEB, f"disk{disk}")).read_into(0, memoryview(image))
        return image

    def judge(self, disk: int = 0) -> int:
        """Return the last write that the newest point holds of a disk."""
        return stamps.judge(self.image(disk))


class Dead(BaseException):
    """The process of the collector died."""


class Mortal(Monitor):
    """A monitor whose process dies before or after it sends its nth commands."""

    left = 1 << 30
    says_last_words = False

    def run(self, commands: Sequence[Command]) -> list[object]:
        if self.left == 0:
            self.close()
            raise Dead
        self.left -= 1
        if self.left == 0 and not self.says_last_words:
            self.close()
            raise Dead
        return super().run(commands)


@pytest.fixture(params=[1, 2], ids=["one disk", "two disks"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(tmp_path, request.param)
    yield made
    made.guest.kill()


def test_every_point_of_a_writing_machine_is_an_exact_prefix_of_its_history(site: Site) -> None:
    replicator = site.replicator()
    seen, sent = [], []
    for _ in range(6):
        done = replicator.cycle()
        seen.append([site.judge(disk) for disk in range(site.disks)])
        sent.append(done.copied.read_bytes)
        assert done.compared == ()
    replicator.close()
    assert seen == sorted(seen)
    assert all(last > 0 for last in seen[-1])
    assert all(count <= site.disks * BLOCKS * stamps.BLOCK * 1.05 for count in sent[1:])
    site.must_be_clean()


@pytest.mark.parametrize("says_last_words", [False, True], ids=["before", "after"])
def test_a_collector_that_dies_between_any_two_commands_harms_nothing(
    site: Site, says_last_words: bool
) -> None:
    """Its successor clears up, sends a delta and not the disk, and every point is exact."""
    first = site.replicator()
    first.cycle()
    first.close()
    last, step, has_lived = site.judge(), 0, False
    while not has_lived:
        step += 1

        def mortal(qmp: Path, step: int = step) -> Monitor:
            monitor = Mortal.connect(qmp)
            monitor.left, monitor.says_last_words = step, says_last_words
            return monitor

        replicator = site.replicator(mortal)
        try:
            replicator.cycle()
            has_lived = True
        except Dead:
            pass
        replicator.close()

        successor = site.replicator()
        done = successor.cycle()
        successor.close()
        assert done.compared == (), f"after a death at step {step} nobody knew what had changed"
        site.must_be_clean()
        now = site.judge()
        assert now > last
        last = now
    assert step > 20


def test_a_machine_that_was_shut_down_and_started_again_sends_a_delta(site: Site) -> None:
    replicator = site.replicator()
    replicator.cycle()
    monitor = site.look_away(replicator)
    monitor.execute("quit")
    site.guest.wait()
    site.guest = site.boot()
    after = replicator.cycle()
    replicator.close()
    assert after.compared == ()
    site.must_be_clean()
    for disk in range(site.disks):
        # The stamps begin anew over the old ones: neither history alone, but the disk as it is.
        site.must_equal_the_disk(disk)


def test_a_machine_that_lost_its_power_is_compared_and_sends_what_differs(site: Site) -> None:
    """R-R-2, R-R-10: at most 1.05 times the blocks in which the newest point and the disks really differ."""
    replicator = site.replicator()
    replicator.cycle()
    site.guest.kill()
    with pytest.raises(Unavailable):
        replicator.cycle()
    disks = range(site.disks)
    before = [site.image(disk) for disk in disks]
    site.guest = site.boot()
    site.stand_still()  # so that what differs is the same when it is counted and when it is sent
    done = replicator.cycle()
    assert done.compared == tuple(DiskKey(WEB, f"disk{disk}") for disk in disks)
    replicator.close()
    after = site.truths()
    assert [site.image(disk) for disk in disks] == after
    different = sum(map(differing_bytes, before, after))
    assert different > 0
    assert done.copied.sent_bytes <= 1.05 * different
    site.go_on()
    replicator = site.replicator()
    assert replicator.cycle().compared == ()
    replicator.close()
    site.must_be_clean()
    for disk in disks:
        site.must_equal_the_disk(disk)


def differing_bytes(one: bytearray, other: bytearray) -> int:
    """Return the size of all blocks of 64 KiB in which two images differ."""
    starts = range(0, len(one), COMPARED)
    return COMPARED * sum(one[at : at + COMPARED] != other[at : at + COMPARED] for at in starts)


@pytest.mark.parametrize("site", [2], indirect=True)
def test_a_collector_killed_at_any_moment_leaves_no_machine_standing(site: Site) -> None:
    """A real process and SIGKILL, with a machine of two disks, which stands still at each instant."""
    words = [*COMMAND, "replicate", site.room / "qmp", site.room / "store", "--group", "web"]
    words += ["--every", "0s", "--folder", site.room / "run", "--key-file", site.room / "main.key", "--json"]
    chance = Random(7)
    for _ in range(6):
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 4)):
                assert json.loads(process.stdout.readline())["event"] == "point"
            select.select([], [], [], chance.random() * 0.05)
            process.kill()
        site.must_run()
    replicator = site.replicator()
    assert replicator.cycle().compared == ()
    replicator.close()
    site.must_be_clean()
    for disk in range(site.disks):
        assert site.judge(disk) > 0
