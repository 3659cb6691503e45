"""What others do to a machine of libvirt that is replicated, by libvirt's own commands.

As for QEMU's: every point is what the disks hold, and little is sent; a delta where every change is known,
digests where one is not, and never a full copy (R-R-2, R-R-10, R-P-7).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Unavailable
from bascule.ports.disks import DiskSource
from bascule.replication.members import Member
from bascule.replication.replicator import Cycled, Names, Replicator, World
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE
from tests.drivers.hypervisors.libvirt.test_machine import Domain
from tests.servers.libvirtd import Libvirtd

libvirt = pytest.importorskip("libvirt", reason="make check does without it; make test builds it")
libvirt_qemu = pytest.importorskip("libvirt_qemu", reason="as above")

pytestmark = pytest.mark.lab

_SCSI = "<controller type='scsi' model='virtio-scsi'/>"
_HMP = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG


class Shown(Domain):
    """A domain whose disks are shown as it sees them."""

    def tell(self, command: str, **words: Any) -> Any:
        line = json.dumps({"execute": command, "arguments": words})
        return json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, line, 0)).get("return")

    def shown(self) -> dict[str, bytearray]:
        """Return what the machine sees of each disk."""
        socket = self.room / "shown"
        self.tell("nbd-server-start", addr={"type": "unix", "data": {"path": str(socket)}})
        try:
            return {name: self._shown(name, node, socket) for name, node in self._nodes()}
        finally:
            self.tell("nbd-server-stop")

    def _nodes(self) -> Iterator[tuple[str, str]]:
        for block in self.asked("query-block"):
            (name,) = re.findall(r"disk\d", block["qdev"])
            yield name, block["inserted"]["node-name"]

    def _shown(self, name: str, node: str, socket: Path) -> bytearray:
        self.tell("block-export-add", type="nbd", id=f"x-{name}", **{"node-name": node, "name": name})
        with closing(open_source(f"nbd+unix:///{name}?socket={socket}")) as source:
            found = bytearray(source.size_bytes)
            source.read_into(0, memoryview(found))
        return found

    def stands_still(self) -> bool:
        """Tell whether somebody stopped its processors."""
        return self.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED


class Scene(Shown):
    """A domain with two disks that somebody else plays with, and its replicator."""

    def __init__(self, daemon: Libvirtd, room: Path) -> None:
        super().__init__(daemon, room, more=_SCSI)
        clock = SystemClock()
        self.vault = Vault.init(MemoryStore(), KeyFile(bytes(range(32))), ids=SystemIds(), clock=clock)
        world = World(self.vault, clock, open_source, lambda: Conduct(Meter(clock)))
        self.replicator = Replicator(world, [Member("web", self.adopt)], Names("web", "test"))
        self.write("disk0", 0, os.urandom(SIZE))
        self.write("disk1", 0, os.urandom(SIZE // 2))

    def write(self, disk: str, offset: int, data: bytes = b"x" * 100) -> None:
        """Write as the guest does, to a SCSI disk too."""
        if disk != "disk2":
            super().write(disk, offset, data)
            return
        (self.room / "data").write_bytes(data)
        write = f"write -q -s {self.room / 'data'} {offset} {len(data)}"
        line = f'qemu-io -d /machine/peripheral/ua-disk2 "{write}"'
        assert libvirt_qemu.qemuMonitorCommand(self.domain, line, _HMP) == ""

    def must_be_exact(self) -> Cycled:
        """Make a point and compare it with what the machine sees of each disk."""
        done = self.replicator.cycle()
        truth = self.shown()
        with self.vault.peek("web") as point:
            assert {key.disk for key in point.disks()} == truth.keys()
            for disk, content in truth.items():
                reader = point.disk(DiskKey("web", disk))
                image = bytearray(reader.size_bytes)
                reader.read_into(0, memoryview(image))
                assert image == content, f"{disk} is not as the machine has it"
        return done

    def snapshot(self, top: str = "", name: str = "theirs") -> Any:
        """Make an internal snapshot, or put an image on top of the first disk."""
        disks, flags = "", 0
        if top:
            disk = f"<disk name='vda' snapshot='external'><source file='{self.room / top}'/></disk>"
            disks = f"<disks>{disk}<disk name='vdb' snapshot='no'/></disks>"
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        words = f"<domainsnapshot><name>{top or name}</name>{disks}</domainsnapshot>"
        return self.domain.snapshotCreateXML(words, flags)

    def end_job(self, flags: int = 0) -> None:
        """Wait until a job on the first disk has copied all there is, and end it."""

        def is_ready() -> bool:
            job = self.domain.blockJobInfo("vda", 0)
            return not job or job["cur"] == job["end"] > 0

        wait_until(is_ready)
        if flags:
            self.domain.blockJobAbort("vda", flags)

    def restart(self) -> None:
        """Shut the machine down, as the images see it, and start it."""
        self.replicator.close()
        self.domain.destroy()
        self.start()

    def plug(self, image: Path) -> str:
        """Plug a disk in, and return what it is unplugged by."""
        words = (
            f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{image}'/>"
            "<target dev='sda' bus='scsi'/><alias name='ua-disk2'/></disk>"
        )
        self.domain.attachDeviceFlags(words, _LIVE)
        return words

    def end(self) -> None:
        self.replicator.close()
        if self.domain.isActive():
            self.domain.destroy()
        self.domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        )
        self.connection.close()


def compared(done: Cycled) -> list[str]:
    return [disk.disk for disk in done.compared]


@pytest.fixture
def scene(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(libvirtd, tmp_path)
    yield made
    made.end()


def test_images_on_top_of_a_disk_cost_nothing_nor_does_their_way_back(scene: Scene) -> None:
    """libvirt takes its records along: into the new image, and into the one below when it is committed."""
    scene.replicator.cycle()
    for number in (1, 2):
        scene.write("disk0", 2 * number * BLOCK)
        scene.snapshot(f"top{number}")
        scene.write("disk0", (2 * number + 1) * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], 4 * BLOCK)
    scene.write("disk0", 7 * BLOCK)
    scene.restart()
    scene.write("disk0", 8 * BLOCK)
    commit = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
    scene.domain.blockCommit("vda", str(scene.room / "top1"), None, 0, commit)
    scene.write("disk0", 9 * BLOCK)
    with pytest.raises(Unavailable, match="has a blockjob") as refused:
        scene.replicator.cycle()
    assert "block job" in refused.value.cure
    scene.end_job(libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    scene.write("disk0", 10 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], 4 * BLOCK)
    scene.domain.blockRebase("vda", None, 0, 0)
    scene.write("disk0", 11 * BLOCK)
    scene.end_job()
    done = scene.must_be_exact()
    assert compared(done) == []
    assert done.copied.sent_bytes <= 2 * BLOCK
    scene.replicator.close()
    scene.must_be_clean()


def test_a_disk_that_went_back_below_an_image_is_compared(scene: Scene) -> None:
    """Somebody throws away what was written since a snapshot: the record went with it."""
    scene.snapshot("top")
    scene.replicator.cycle()
    scene.write("disk0", 3 * BLOCK)
    scene.replicator.close()
    scene.domain.destroy()
    words = re.sub(r"<backingStore.*?</backingStore>", "", scene.domain.XMLDesc(), flags=re.DOTALL)
    scene.connection.defineXML(words.replace("/top'", "/disk0'"))
    scene.start()
    scene.write("disk0", 5 * BLOCK)
    done = scene.must_be_exact()
    assert compared(done) == ["disk0"]
    assert done.copied.sent_bytes == BLOCK


def test_nobody_goes_back_to_an_internal_snapshot_while_our_record_is_there(scene: Scene) -> None:
    """Disks would change without a write; the machine of one who tries is off, and what is there compared."""
    assert scene.runs()
    scene.replicator.cycle()
    theirs = scene.snapshot()
    scene.write("disk0", 3 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], BLOCK)
    scene.write("disk0", 4 * BLOCK)
    with pytest.raises(libvirt.libvirtError, match="Device has active dirty bitmaps"):
        scene.domain.revertToSnapshot(theirs, 0)
    assert not scene.domain.isActive()
    with pytest.raises(Unavailable, match="web is off"):
        scene.replicator.cycle()
    for top in ("", "top"):
        with pytest.raises(libvirt.libvirtError, match="while checkpoint exists"):
            scene.snapshot(top, "of a machine that is off")
    scene.start()
    done = scene.must_be_exact()
    assert compared(done) == ["disk0", "disk1"]
    assert done.copied.sent_bytes <= 2 * BLOCK
    scene.replicator.close()
    scene.must_be_clean()


def test_a_disk_that_grew_and_a_guest_that_was_reset_or_saved_go_on_with_deltas(scene: Scene) -> None:
    assert scene.runs()
    scene.replicator.cycle()
    size = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
    scene.domain.blockResize("vda", 2 * SIZE, size)
    scene.write("disk0", SIZE + 3 * BLOCK)
    scene.domain.reset()
    scene.replicator.close()
    scene.domain.managedSave()
    scene.domain.create()
    scene.write("disk0", 5 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == ([], 2 * BLOCK)
    scene.domain.blockResize("vda", SIZE, size)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == ([], 0)


def test_a_disk_is_plugged_in_and_out_and_replaced(scene: Scene) -> None:
    scene.replicator.cycle()
    image, other = scene.room / "disk2", scene.room / "other"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, str(SIZE)], check=True)
    words = scene.plug(image)
    scene.write("disk2", 0)
    scene.write("disk0", 0)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == ([], 2 * BLOCK)
    scene.write("disk2", BLOCK)
    scene.domain.detachDeviceFlags(words, _LIVE)
    scene.plug(image)
    scene.write("disk2", 2 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == ([], 2 * BLOCK), "its record went with it"
    scene.domain.detachDeviceFlags(words, _LIVE)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, other], check=True)
    words = scene.plug(other)
    scene.write("disk2", 3 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == (["disk2"], BLOCK)
    scene.domain.detachDeviceFlags(words, _LIVE)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == ([], 0)
    scene.replicator.close()
    scene.must_be_clean()


def test_checkpoints_of_others_are_nothing_and_ours_that_they_delete_are_missed(scene: Scene) -> None:
    scene.replicator.cycle()
    theirs = scene.domain.checkpointCreateXML("<domaincheckpoint><name>theirs</name></domaincheckpoint>")
    scene.write("disk0", 3 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], BLOCK)
    theirs.delete()
    scene.write("disk0", 4 * BLOCK)
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], BLOCK)
    (ours,) = scene.domain.listAllCheckpoints()
    scene.write("disk0", 5 * BLOCK)
    ours.delete()
    done = scene.must_be_exact()
    assert (compared(done), done.copied.sent_bytes) == (["disk0", "disk1"], BLOCK)


def test_a_disk_that_was_copied_elsewhere_keeps_its_record_where_its_new_image_can(scene: Scene) -> None:
    scene.replicator.cycle()
    for kind, missed in (("qcow2", []), ("raw", ["disk0"])):
        words = f"<disk type='file'><source file='{scene.room}/{kind}'/><driver type='{kind}'/></disk>"
        scene.domain.blockCopy("vda", words, {}, libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)
        scene.write("disk0", 3 * BLOCK, os.urandom(100))
        scene.end_job(libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        scene.write("disk0", 4 * BLOCK, os.urandom(100))
        done = scene.must_be_exact()
        assert (compared(done), done.copied.sent_bytes) == (missed, 2 * BLOCK)
    ours = {name for name in scene.bitmaps() if name.startswith("bascule-")}
    assert ours == scene.checkpoints(), "the other disk is not left with a record that nobody reads"


def is_gone(source: DiskSource) -> bool:
    """Does what is read say that it is not held any more?"""
    try:
        source.read_into(0, memoryview(bytearray(SIZE)))
    except Unavailable:
        return True
    return False


def test_whoever_ends_our_instant_costs_that_point_and_no_change(scene: Scene) -> None:
    scene.replicator.cycle()
    scene.replicator.close()
    scene.write("disk0", 3 * BLOCK)
    machine = scene.adopt()
    frozen = machine.freeze({})
    for refused in (
        lambda: scene.domain.blockResize("vda", 2 * SIZE, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES),
        lambda: scene.domain.blockRebase("vda", None, 0, 0),
    ):
        with pytest.raises(libvirt.libvirtError):
            refused()
    with closing(open_source(frozen.disks[0].words)) as source:
        scene.domain.abortJob()
        wait_until(lambda: is_gone(source), 30, "the end of what is exported")
    frozen.drop()
    machine.close()
    done = scene.must_be_exact()
    assert (compared(done), done.copied.read_bytes) == ([], BLOCK)
    scene.replicator.close()
    scene.must_be_clean()
