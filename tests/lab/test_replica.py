"""A living machine under real QEMU, replicated while it writes, and judged point by point."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Command, Monitor
from bascule.drivers.objects.local import LocalStore
from bascule.replication.replica import Names, Replica, World
from lab import stamps
from lab.guests import Guest

pytestmark = pytest.mark.lab

BLOCKS = 4096
DISK_BYTES = 256 << 20
NAMES = Names("web", "web", "test")
KEY = KeyFile(bytes(range(32)))


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
        self.vault = Vault.init(
            LocalStore(room / "store", create=True), KEY, ids=SystemIds(), clock=self.clock
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

    def replica(self, machine: QemuMachine) -> Replica:
        world = World(self.vault, self.clock, open_source, lambda: Conduct(Meter(self.clock)))
        return Replica(world, machine, NAMES)

    def judge(self, disk: int = 0) -> int:
        """Return the last write that the newest point holds of a disk."""
        with self.vault.peek(NAMES.group) as point:
            reader = point.disk(DiskKey(NAMES.machine, f"disk{disk}"))
            image = bytearray(BLOCKS * stamps.BLOCK)
            reader.read_into(0, memoryview(image))
        return stamps.judge(lambda offset, length: bytes(image[offset : offset + length]), BLOCKS).last


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
    machine = site.machine()
    replica = site.replica(machine)
    seen, sent = [], []
    for _ in range(6):
        done = replica.cycle()
        seen.append([site.judge(disk) for disk in range(site.disks)])
        sent.append(done.copied.read_bytes)
        assert done.compared == ()
    assert seen == sorted(seen)
    assert all(last > 0 for last in seen[-1])
    assert all(count <= site.disks * BLOCKS * stamps.BLOCK * 1.05 for count in sent[1:])
    assert len(machine.bitmaps()) == 1, "one record is left, by which the next delta is made"
    assert list((site.room / "run").glob("bascule-f-*")) == []
    replica.close()
    machine.close()


@pytest.mark.parametrize("says_last_words", [False, True], ids=["before", "after"])
def test_a_collector_that_dies_between_any_two_commands_harms_nothing(
    site: Site, says_last_words: bool
) -> None:
    """Its successor clears up, sends a delta and not the disk, and every point is exact."""
    machine = site.machine()
    replica = site.replica(machine)
    replica.cycle()
    replica.close()
    machine.close()
    last, step, has_lived = site.judge(), 0, False
    while not has_lived:
        step += 1
        mortal = Mortal.connect(site.room / "qmp")
        machine = site.machine(mortal)
        replica = site.replica(machine)
        mortal.left, mortal.says_last_words = step, says_last_words
        try:
            replica.cycle()
            has_lived = True
        except Dead:
            pass
        replica.close()
        machine.close()

        machine = site.machine()
        replica = site.replica(machine)
        done = replica.cycle()
        assert done.compared == (), f"after a death at step {step} nobody knew what had changed"
        replica.close()
        assert len(machine.bitmaps()) == 1
        machine.close()
        monitor = site.look()
        assert monitor.execute("query-status")["running"]
        assert monitor.execute("query-block-exports") == []
        names = [node["node-name"] for node in monitor.execute("query-named-block-nodes")]
        assert [name for name in names if name.startswith("bascule-")] == []
        monitor.close()
        now = site.judge()
        assert now > last
        last = now
    assert step > 20
