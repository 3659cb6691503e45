"""What others do to a machine that is replicated: every point is what the disks hold, and little is sent.

A delta where every change is known, digests where one is not, and never a full copy (R-R-2, R-R-10, R-P-7).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Unavailable
from bascule.replication.members import Member
from bascule.replication.replicator import Cycled, Names, Replicator, World
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE
from tests.drivers.hypervisors.qemu.test_machine import Qemu

pytestmark = pytest.mark.lab


class Scene:
    """A QEMU with two disks that somebody else plays with, and its replicator."""

    def __init__(self, room: Path, kind: str = "qcow2") -> None:
        self.room = room
        self.qemu = Qemu(room, kind)
        self.owner = self.qemu.owner
        self.clock = SystemClock()
        self.vault = Vault.init(MemoryStore(), KeyFile(bytes(range(32))), ids=SystemIds(), clock=self.clock)
        world = World(self.vault, self.clock, open_source, lambda: Conduct(Meter(self.clock)))
        self.replicator = Replicator(world, [Member("web", self.qemu.adopt)], Names("web", "test"))
        self.qemu.write("disk0", 0, os.urandom(SIZE))
        self.qemu.write("disk1", 0, os.urandom(SIZE // 2))

    def must_be_exact(self) -> Cycled:
        """Make a point and compare it with what the owner sees of each disk."""
        done = self.replicator.cycle()
        shown = self.room / "shown"
        self.replicator.close()
        self.owner.execute("nbd-server-stop")
        self.owner.execute("nbd-server-start", addr={"type": "unix", "data": {"path": str(shown)}})
        for block in self.owner.execute("query-block"):
            if "inserted" not in block:
                continue
            node = block["inserted"]["node-name"]
            (name,) = re.findall(r"disk\d", block["qdev"])
            self.owner.execute("block-export-add", type="nbd", id=f"x-{name}", node_name=node, name=name)
            source = open_source(f"nbd+unix:///{name}?socket={shown}")
            truth = bytearray(source.size_bytes)
            source.read_into(0, memoryview(truth))
            source.close()
            image = bytearray(source.size_bytes)
            with self.vault.peek("web") as point:
                reader = point.disk(DiskKey("web", name))
                assert reader.size_bytes == source.size_bytes
                reader.read_into(0, memoryview(image))
            assert image == truth, f"{name} is not as the machine has it"
        self.owner.execute("nbd-server-stop")
        return done

    def human(self, line: str) -> str:
        return str(self.owner.execute("human-monitor-command", command_line=line))

    def close(self) -> None:
        self.replicator.close()
        self.qemu.end()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def test_a_snapshot_of_the_machines_own_costs_nothing_and_qemu_does_not_go_back_to_it(scene: Scene) -> None:
    """``loadvm`` changes disks without a write; QEMU refuses that to a disk with a bitmap."""
    assert scene.qemu.runs()
    assert scene.human("savevm before") == ""
    scene.replicator.cycle()
    assert scene.human("savevm after") == ""
    scene.qemu.write("disk0", 3 * BLOCK, b"later" * 1000)
    for snapshot in ("before", "after"):
        assert "Device has active dirty bitmaps" in scene.human(f"loadvm {snapshot}")
    done = scene.replicator.cycle()
    assert (done.compared, done.copied.read_bytes) == ((), BLOCK)
    scene.must_be_exact()


@pytest.mark.parametrize("is_between", [False, True], ids=["in a session", "between sessions"])
def test_a_disk_that_got_another_image_on_top_is_compared(scene: Scene, is_between: bool) -> None:
    """Somebody's external snapshot: the record stays below, where nothing is written any more."""
    scene.replicator.cycle()
    if is_between:
        scene.replicator.close()
    scene.qemu.write("disk0", 3 * BLOCK, b"before")
    top = scene.room / "top.qcow2"
    words = {"node-name": "d0", "snapshot-file": str(top), "snapshot-node-name": "top0"}
    scene.owner.execute("blockdev-snapshot-sync", **words)
    scene.qemu.write("disk0", 5 * BLOCK, b"after")
    done = scene.replicator.cycle()
    assert [disk.disk for disk in done.compared] == ["disk0"]
    assert done.copied.sent_bytes <= 4 * BLOCK
    scene.qemu.write("disk0", 6 * BLOCK, b"again")
    done = scene.must_be_exact()
    assert (done.compared, done.copied.read_bytes) == ((), BLOCK)


def test_a_disk_that_grew_goes_on_with_deltas(scene: Scene) -> None:
    scene.replicator.cycle()
    scene.owner.execute("block_resize", node_name="d0", size=2 * SIZE)
    scene.qemu.write("disk0", SIZE + 3 * BLOCK, b"in the new part")
    done = scene.must_be_exact()
    assert done.compared == ()
    assert done.copied.sent_bytes <= 2 * BLOCK
    assert scene.must_be_exact().copied.sent_bytes == 0


def test_a_disk_that_was_added_is_noticed_and_copied_and_one_that_was_removed_leaves(scene: Scene) -> None:
    scene.replicator.cycle()
    path = scene.room / "disk2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE)], check=True)
    scene.owner.execute(
        "blockdev-add", driver="qcow2", node_name="d2", file={"driver": "file", "filename": str(path)}
    )
    scene.owner.execute("device_add", driver="scsi-hd", id="disk2", drive="d2", bus="scsi1.0")
    scene.qemu.write("disk2", 0, os.urandom(BLOCK))
    scene.qemu.write("disk0", 0, b"x")
    done = scene.must_be_exact()
    assert done.compared == ()
    assert done.copied.sent_bytes <= 2 * BLOCK, "what is zero is not sent, nor the other disks"
    assert [disk.id for disk in done.copied.point.machines[0].disks] == ["disk0", "disk1", "disk2"]
    scene.owner.execute("device_del", id="disk2")
    # It leaves the list of disks after the machine, and until then replication says that it is leaving.
    blocks = partial(scene.owner.execute, "query-block")
    wait_until(lambda: not any("disk2" in block.get("qdev", "") for block in blocks()), 30)
    done = scene.must_be_exact()
    assert [disk.id for disk in done.copied.point.machines[0].disks] == ["disk0", "disk1"]
    assert (done.compared, done.copied.sent_bytes) == ((), 0)


def test_a_disk_that_was_replaced_under_its_name_is_compared(scene: Scene) -> None:
    scene.replicator.cycle()
    other = scene.room / "other"
    subprocess.run(["qemu-img", "convert", "-U", "-O", "qcow2", scene.room / "disk0", other], check=True)
    scene.owner.execute(
        "blockdev-add", driver="qcow2", node_name="d9", file={"driver": "file", "filename": str(other)}
    )
    scene.owner.execute("qom-set", path="/machine/peripheral/disk0", property="drive", value="d9")
    scene.qemu.write("disk0", 5 * BLOCK, b"after")
    done = scene.must_be_exact()
    assert [disk.disk for disk in done.compared] == ["disk0"]
    assert done.copied.sent_bytes <= 2 * BLOCK


def test_a_reset_is_nothing(scene: Scene) -> None:
    scene.replicator.cycle()
    scene.qemu.write("disk0", 5 * BLOCK, b"before")
    scene.owner.execute("system_reset")
    scene.qemu.write("disk0", 7 * BLOCK, b"after")
    done = scene.must_be_exact()
    assert (done.compared, done.copied.read_bytes) == ((), 2 * BLOCK)


def test_a_clock_that_goes_back_breaks_no_points(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ages = []
    for ahead in (0.0, 86400.0, -86400.0, 0.0):
        monkeypatch.setattr(SystemClock, "now", lambda _, ahead=ahead: 1_800_000_000.0 + ahead)
        scene.qemu.write("disk0", 5 * BLOCK, os.urandom(100))
        done = scene.must_be_exact()
        assert done.compared == ()
        ages.append(done.point_age_seconds)
    assert all(0 <= age < 60 for age in ages)
    numbers = [point.number for point in scene.vault.points("web")]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)


def test_a_folder_without_room_for_a_fleece_is_named_before_anything_is_frozen(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.replicator.cycle()
    real = os.statvfs

    def full(path: Path) -> object:
        found = real(path)
        return os.statvfs_result((*found[:4], 1, *found[5:]))

    with monkeypatch.context() as little:
        little.setattr(os, "statvfs", full)
        with pytest.raises(Unavailable, match=r"has 0 MiB left .* may need 8") as refused:
            scene.replicator.cycle()
    assert "make room" in refused.value.cure
    assert scene.must_be_exact().copied.sent_bytes == 0


def test_a_fleece_that_runs_full_costs_the_point_and_not_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest writes more than the folder takes while its disk is being read: tried again, by deltas."""
    small = tmp_path / "run"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        monkeypatch.setattr("bascule.drivers.hypervisors.qemu.machine.check_room", lambda *_: None)
        scene = Scene(tmp_path)
        scene.replicator.cycle()
        scene.qemu.write("disk0", 0, os.urandom(SIZE))
        machine = scene.replicator._members.here["web"].machine
        assert machine is not None
        freeze = machine.freeze

        def busy(since):
            frozen = freeze(since)
            scene.qemu.write("disk0", 0, os.urandom(SIZE))
            return frozen

        monkeypatch.setattr(machine, "freeze", busy)
        with pytest.raises(Unavailable, match="was not held as it was until it was read") as lost:
            scene.replicator.cycle()
        assert "is full" in lost.value.cure
        done = scene.must_be_exact()
        assert done.compared == ()
        scene.close()
    finally:
        subprocess.run(["umount", small], check=True)
