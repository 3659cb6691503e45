"""A living machine under real QEMU, replicated while it writes, and judged point by point."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
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

    def machine(self) -> QemuMachine:
        return QemuMachine.adopt(self.room / "qmp", self.room / "run", self.clock, SystemIds())

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
