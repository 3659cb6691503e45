"""A machine that moves from one QEMU to another: on shared disks, on copies, while it runs.

R-W-3. After every move the point is what the disks hold, and no move costs a full copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.hours import ANY
from bascule.model.items import Facts, State, Wish
from bascule.model.policies import Policy
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.provider.item import Item
from bascule.replication.provider.workshop import Workshop
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE

pytestmark = pytest.mark.lab

DISKS = ("disk0", "disk1")


class Place:
    """A host: where its QEMU answers, and its provider's item. ``disks`` is the folder of the images."""

    def __init__(self, room: Path, name: str, vault: Vault) -> None:
        self.room, self.name = room, name
        clock, ids = SystemClock(), SystemIds()
        shop = Workshop(
            clock,
            lambda _place, _key: nullcontext(vault),
            lambda words, own: QemuMachine.adopt(Path(words), own, clock, ids),
            lambda _words: None,
            open_source,
            f"provider-{name}",
        )
        folder = ProviderFolder(room / name).item("web")
        policy = Policy(interval_seconds=1, resync_hours=ANY)
        wish = Wish("web", (str(room / f"{name}.qmp"),), "store", policy=policy, cluster="blue")
        folder.change(lambda _: wish)
        self.item = Item(folder, shop)

    def start(self, disks: Path, *more: str) -> None:
        words = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", *more]
        words += ["-display", "none", "-name", "web"]
        for number, disk in enumerate(DISKS):
            node = f"driver=qcow2,node-name=d{number},file.driver=file,file.filename={disks / disk}"
            words += ["-blockdev", node, "-device", f"virtio-blk-pci,id={disk},drive=d{number}"]
        for name in ("owner", "qmp"):
            (self.room / f"{self.name}.{name}").unlink(missing_ok=True)
            words += ["-qmp", f"unix:{self.room / self.name}.{name},server=on,wait=off"]
        self.process = subprocess.Popen(words)
        wait_until((self.room / f"{self.name}.qmp").exists)
        self.owner = Monitor.connect(self.room / f"{self.name}.owner")

    def write(self, block: int) -> None:
        (self.room / "data").write_bytes(os.urandom(BLOCK))
        words = f"write -q -s {self.room / 'data'} {block * BLOCK} {BLOCK}"
        for disk in DISKS:
            line = f'qemu-io -d /machine/peripheral/{disk}/virtio-backend "{words}"'
            assert self.owner.execute("human-monitor-command", command_line=line) == ""

    def stop(self) -> None:
        self.owner.execute("quit")
        self.process.wait()

    def status(self) -> str:
        return str(self.owner.execute("query-status")["status"])

    def step(self) -> Facts:
        self.item.step()
        self.item.step()  # after an error in an open session it is tried at once
        return self.item.folder.facts()

    def close(self) -> None:
        self.item.close()
        self.process.kill()
        self.process.wait()


class Scene:
    def __init__(self, room: Path) -> None:
        self.room = room
        self.vault = Vault.init(
            MemoryStore(), KeyFile(bytes(range(32))), ids=SystemIds(), clock=SystemClock()
        )
        self.disks = room / "disks"
        self.disks.mkdir()
        for disk in DISKS:
            path = self.disks / disk
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE)], check=True)
        self.a, self.b = Place(room, "a", self.vault), Place(room, "b", self.vault)
        self.a.start(self.disks)
        for block in range(SIZE // BLOCK):
            self.a.write(block)
        assert self.a.step().state is State.REPLICATING
        self.a.write(7)

    def migrate(self) -> None:
        incoming = f"unix:{self.room / 'incoming'}"
        self.b.start(self.disks, "-incoming", incoming)
        assert self.b.step().state is State.ELSEWHERE, "its memory is on its way"
        self.a.owner.execute("migrate", uri=incoming)
        wait_until(lambda: self.a.owner.execute("query-migrate").get("status") in ("completed", "failed"), 60)

    def must_be_exact(self, place: Place, disks: Path) -> None:
        """End the machine, and compare the newest point with its disks."""
        place.item.close()
        place.stop()
        for disk in DISKS:
            subprocess.run(["qemu-img", "convert", "-O", "raw", disks / disk, self.room / "raw"], check=True)
            image = bytearray(SIZE)
            with self.vault.peek("web") as point:
                point.disk(DiskKey("web", disk)).read_into(0, memoryview(image))
            assert image == (self.room / "raw").read_bytes(), f"{disk} is not as the machine has it"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for place in (made.a, made.b):
        place.close()


def test_a_machine_that_is_started_on_another_host_from_shared_disks_sends_a_delta(scene: Scene) -> None:
    scene.a.stop()
    scene.b.start(scene.disks)
    scene.b.write(9)
    facts = scene.b.step()
    assert (facts.state, facts.mark) == (State.REPLICATING, None)
    assert facts.totals.read_bytes == 2 * len(DISKS) * BLOCK
    assert scene.a.step().state is State.ELSEWHERE
    scene.must_be_exact(scene.b, scene.disks)


def test_a_machine_whose_disks_are_copied_to_another_host_sends_a_delta(scene: Scene) -> None:
    """What was recorded is in the images, and comes along."""
    scene.a.stop()
    copies = shutil.copytree(scene.disks, scene.room / "copies")
    scene.b.start(copies)
    scene.b.write(9)
    facts = scene.b.step()
    assert facts.totals.read_bytes == 2 * len(DISKS) * BLOCK
    scene.must_be_exact(scene.b, copies)


def test_a_machine_whose_disks_were_copied_without_their_records_is_compared_by_digests(
    scene: Scene,
) -> None:
    """As QEMU copies them from machine to machine, unless it is told to take bitmaps along."""
    scene.a.stop()
    copies = scene.room / "copies"
    copies.mkdir()
    for disk in DISKS:
        words = ["qemu-img", "convert", "-O", "qcow2", scene.disks / disk, copies / disk]
        subprocess.run(words, check=True)
    scene.b.start(copies)
    scene.b.write(9)
    facts = scene.b.step()
    assert facts.state is State.REPLICATING
    assert facts.totals.sent_bytes == 2 * len(DISKS) * BLOCK
    scene.must_be_exact(scene.b, copies)


def test_a_copy_of_disks_from_before_the_newest_point_is_not_believed(scene: Scene) -> None:
    """Its record belongs to an earlier point; digests find that the store is ahead of it."""
    scene.a.item.close()
    scene.a.stop()
    copies = shutil.copytree(scene.disks, scene.room / "copies")
    scene.a.start(scene.disks)
    scene.a.write(11)
    scene.a.step()
    scene.a.stop()
    scene.b.start(copies)
    assert scene.b.step().state is State.REPLICATING
    scene.must_be_exact(scene.b, copies)


def test_a_machine_that_is_migrated_while_it_runs_goes_on_with_a_delta(scene: Scene) -> None:
    scene.migrate()
    wait_until(lambda: scene.b.status() == "running")
    assert scene.a.status() == "postmigrate"
    scene.b.write(9)
    assert scene.a.step().state is State.OFF, "its QEMU is there, its machine is not"
    facts = scene.b.step()
    assert (facts.state, facts.mark) == (State.REPLICATING, None)
    assert facts.totals.read_bytes == 2 * len(DISKS) * BLOCK
    assert scene.a.step().state is State.ELSEWHERE
    scene.a.stop()
    scene.must_be_exact(scene.b, scene.disks)


def test_a_machine_cannot_be_migrated_in_the_middle_of_an_instant_and_goes_on_where_it_is(
    scene: Scene,
) -> None:
    """QEMU refuses to give disks away that a fleece of ours writes beside; asked again it moves."""
    scene.a.item.close()
    machine = QemuMachine.adopt(scene.room / "a.qmp", scene.room / "a", SystemClock(), SystemIds())
    frozen = machine.freeze({})
    scene.migrate()
    assert scene.a.status() == "running"
    frozen.drop()
    machine.close()
    assert scene.a.step().state is State.REPLICATING
    scene.must_be_exact(scene.a, scene.disks)
