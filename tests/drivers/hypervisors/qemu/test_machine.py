"""A real QEMU whose disks are written by its own ``qemu-io`` command.

Its processor never starts, but where disks have iothreads: these serve a disk only once a guest's
driver is there, and before that none of their dangers shows.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.blocks.extents import split
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.disks import bitmaps_in
from bascule.drivers.hypervisors.qemu.fleeced import LINES
from bascule.drivers.hypervisors.qemu.images import write_empty_qcow2
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.model.errors import Refused, Unavailable
from bascule.ports.disks import DiskSource
from lab.guests import KERNEL_WORDS, initramfs, kit
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE, Host, MachineContract

pytestmark = pytest.mark.lab

PLAIN = "virtio-blk-pci,id=disk{0},drive=d{0}"
THREADED = f"{PLAIN},iothread=io0"
ON_A_THREADED_BUS = "scsi-hd,id=disk{0},drive=d{0},bus=scsi0.0"
MACHINES = {
    "qcow2": ("qcow2", PLAIN, PLAIN),
    "raw": ("raw", PLAIN, PLAIN),
    "iothreads": ("qcow2", THREADED, THREADED),
    "one iothread": ("qcow2", PLAIN, THREADED),
    "raw with iothreads": ("raw", THREADED, THREADED),
    "a controller with an iothread": ("qcow2", ON_A_THREADED_BUS, ON_A_THREADED_BUS),
}


def idle_guest(room: Path) -> list[str]:
    """Return QEMU's arguments for a guest with a driver for its disks that leaves them alone."""
    initrd = initramfs(room / "initrd", "sleep 100000")
    words = ["-kernel", str(kit() / "vmlinuz"), "-initrd", str(initrd), "-append", KERNEL_WORDS]
    return [*words, "-serial", f"file:{room / 'console'}"]


class Booted:
    """Guests of each kind as they are once they have booted, to go on from: a tenth of the time."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="booted-")
        self.states: dict[str, Path] = {}

    def keep(self, kind: str, monitor: Monitor) -> None:
        """Keep what a running guest has in memory, and let it run on."""
        state = Path(self._folder.name, str(len(self.states)))
        monitor.execute("migrate", uri=f"exec:cat > {state}")
        wait_until(lambda: monitor.execute("query-migrate")["status"] == "completed")
        monitor.execute("cont")
        self.states[kind] = state


BOOTED = Booted()


class Qemu(Host):
    """Two monitors: one to adopt the machine by, and one of the machine's owner."""

    def __init__(
        self,
        room: Path,
        kind: str = "qcow2",
        below: Path | None = None,
        *,
        made: tuple[str, ...] = (),
        opened: str = "",
    ) -> None:
        image, *devices = MACHINES[kind]
        self.room = room
        self._data = room / "data"
        is_booted = THREADED in devices
        words = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "128", "-nodefaults"]
        words += idle_guest(room) if is_booted else ["-S"]
        state = BOOTED.states.get(kind)
        words += ["-incoming", f"exec:cat {state}"] if state else []
        words += ["-display", "none", "-name", "web", "-object", "iothread,id=io0"]
        words += ["-device", "virtio-scsi-pci,id=scsi0,iothread=io0", "-device", "virtio-scsi-pci,id=scsi1"]
        for number in range(2):
            path = room / f"disk{number}"
            on = ["-b", str(below), "-F", "qcow2"] if below else []
            subprocess.run(["qemu-img", "create", "-q", "-f", image, *made, *on, path, str(SIZE)], check=True)
            node = f"driver={image},node-name=d{number},file.driver=file,file.filename={path}{opened}"
            words += ["-blockdev", node, "-device", devices[number].format(number)]
        for name in ("owner", "qmp"):  # the last one listens when both do
            words += ["-qmp", f"unix:{room / name},server=on,wait=off"]
        self.process = subprocess.Popen(words)
        wait_until(self._is_listening)
        self.owner = Monitor.connect(room / "owner")
        if state:
            wait_until(lambda: self.owner.execute("query-status")["running"])
        elif is_booted:
            wait_until(lambda: "guest: up" in (room / "console").read_text(), seconds=120)
            BOOTED.keep(kind, self.owner)

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.room / "qmp")) == 0

    def adopt(self) -> QemuMachine:
        return QemuMachine.adopt(self.room / "qmp", self.room / "run", SystemClock(), SystemIds())

    def write(self, disk: str, offset: int, data: bytes) -> None:
        self._data.write_bytes(data)
        self.do(disk, f"write -q -s {self._data} {offset} {len(data)}")

    def do(self, disk: str, command: str) -> None:
        places = [
            block["qdev"] for block in self.owner.execute("query-block") if disk in block.get("qdev", "")
        ]
        line = f'qemu-io -d {places[0]} "{command}"'
        assert self.owner.execute("human-monitor-command", command_line=line) == ""

    def open(self, words: str) -> DiskSource:
        return open_source(words)

    def image(self, words: str, before: bytes = bytes(SIZE)) -> bytearray:
        """Return what a frozen disk's source makes of what was there before."""
        image = bytearray(before)
        with closing(self.open(words)) as source:
            for extent in source.extents():
                source.read_into(extent.offset, memoryview(image)[extent.offset : extent.end])
        return image

    def runs(self) -> bool:
        status = self.owner.execute("query-status")["status"]
        if status == "prelaunch":
            self.owner.execute("cont")
        return bool(status != "paused")

    def must_be_clean(self) -> None:
        nodes = self.owner.execute("query-named-block-nodes")
        assert [node["node-name"] for node in nodes if node["node-name"].startswith("bascule-")] == []
        assert len({bitmap.name for node in nodes for bitmap in bitmaps_in(node)}) == 1
        assert self.owner.execute("query-block-exports") == []
        assert self.owner.execute("query-jobs") == []
        assert list((self.room / "run").glob("bascule-f-*")) == []
        assert self.held_descriptors() == 0

    def held_descriptors(self) -> int:
        """Return how many connections to itself QEMU holds for us."""
        found = 0
        for number in range(64):
            with suppress(Refused):
                self.owner.execute("closefd", fdname=f"bascule-line-{number}")
                found += 1
        return found

    def end(self) -> None:
        self.owner.close()
        self.process.kill()
        self.process.wait()


class TestQemu(MachineContract):
    @pytest.fixture(params=MACHINES)
    def host(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
        made = Qemu(tmp_path, request.param)
        yield made
        made.end()

    def test_who_takes_an_instant_back_may_die_before_the_record_was_told_what_it_missed(
        self, host: Qemu
    ) -> None:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        host.write("disk0", 3 * BLOCK, b"x")
        second = machine.freeze(first.tracking)
        host.write("disk0", 4 * BLOCK, b"x")
        second.thaw()
        machine.close()
        host.owner.execute("block-dirty-bitmap-enable", node="d0", name=first.tracking["disk0"])
        machine = host.adopt()
        assert machine.settle(first.tracking) == first.tracking
        host.write("disk0", 5 * BLOCK, b"x")
        frozen = machine.freeze(first.tracking)
        assert self.changed(host, frozen) == {3, 4, 5}
        frozen.keep()
        machine.close()
        host.must_be_clean()


def test_a_record_that_stands_still_is_believed_only_if_another_went_on(tmp_path: Path) -> None:
    host = Qemu(tmp_path, "iothreads")
    try:
        machine = host.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        old, since = "bascule-left-over", first.tracking["disk0"]
        host.owner.execute("block-dirty-bitmap-add", node="d0", name=old, disabled=True)
        host.owner.execute("block-dirty-bitmap-disable", node="d0", name=since)
        machine.close()
        machine = host.adopt()
        assert set(machine.settle(first.tracking)) == {"disk1"}
        machine.close()
    finally:
        host.end()


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    made = Qemu(tmp_path)
    yield made
    made.end()


def test_a_second_client_of_a_monitor_is_told_why_it_waits(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bascule.drivers.hypervisors.qemu.monitor._GREETING_SECONDS", 1)
    machine = qemu.adopt()
    with pytest.raises(Unavailable, match="one client at a time"):
        qemu.adopt()
    machine.close()


def test_a_socket_where_nobody_listens_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nobody answers on the QMP socket .*qmp"):
        Monitor.connect(tmp_path / "qmp")


def test_what_qemu_refuses_is_said_in_its_words_and_the_monitor_goes_on(qemu: Qemu) -> None:
    with pytest.raises(Refused, match=r"refuses blockdev-del: .*nothing"):
        qemu.owner.execute("blockdev-del", node_name="nothing")
    assert qemu.owner.execute("query-status")["running"] is False


def test_a_machine_that_ends_meanwhile_is_gone(qemu: Qemu) -> None:
    machine = qemu.adopt()
    machine.settle({})
    qemu.process.kill()
    qemu.process.wait()
    with pytest.raises(Unavailable, match="gone"):
        machine.freeze({})
    machine.close()


def test_a_machine_may_be_replicated_from_another_folder_than_before(qemu: Qemu) -> None:
    machine = qemu.adopt()
    machine.settle({})
    first = machine.freeze({})
    first.keep()
    machine.close()
    qemu.write("disk0", 0, b"x")
    elsewhere = QemuMachine.adopt(qemu.room / "qmp", qemu.room / "elsewhere", SystemClock(), SystemIds())
    assert elsewhere.settle(first.tracking) == first.tracking
    second = elsewhere.freeze(first.tracking)
    (shown, _) = second.disks
    with closing(qemu.open(shown.words)) as source:
        assert len(list(source.extents())) == 1
    second.keep()
    elsewhere.close()


def test_a_fleece_that_cannot_be_made_leaves_the_machine_as_it_was(qemu: Qemu) -> None:
    machine = qemu.adopt()
    machine.settle({})
    first = machine.freeze({})
    first.keep()
    (qemu.room / "run").rename(qemu.room / "gone")
    with pytest.raises(Unavailable, match="run cannot take what the machine overwrites: No such file"):
        machine.freeze(first.tracking)
    (qemu.room / "gone").rename(qemu.room / "run")
    again = machine.freeze(first.tracking)
    again.keep()
    machine.close()
    qemu.must_be_clean()


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_machine_that_a_dead_process_left_standing_runs_again_and_others_stay(
    qemu: Qemu, is_ours: bool
) -> None:
    """Where even the keeper of the connection died; what its owner stopped stays as it is."""
    qemu.owner.execute("cont")
    machine = qemu.adopt()
    machine.settle({})
    frozen = machine.freeze({})
    frozen.keep()
    assert qemu.owner.execute("query-status")["status"] == "running"
    machine.close()

    qemu.owner.execute("stop")
    if is_ours:
        (qemu.room / "run" / "standing").touch()
    machine = qemu.adopt()
    machine.settle(frozen.tracking)
    assert qemu.owner.execute("query-status")["running"] is is_ours
    qemu.owner.execute("stop")
    machine.settle(frozen.tracking)
    assert qemu.owner.execute("query-status")["running"] is False, "what was mended once is not mended again"
    machine.close()


def test_a_fleece_that_must_hold_a_whole_disk_is_refused_where_it_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a full one would be an error of the guest's write; nothing is frozen, and nothing is left."""
    qemu = Qemu(tmp_path, "iothreads")
    machine = qemu.adopt()
    machine.settle({})
    first = machine.freeze({})
    first.keep()

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(Unavailable, match="cannot take what the machine overwrites: No space") as refused:
            machine.freeze(first.tracking)
    assert "make room" in refused.value.cure
    qemu.write("disk0", 0, b"on")
    again = machine.freeze(first.tracking)
    again.keep()
    machine.close()
    qemu.must_be_clean()
    qemu.end()


def test_a_whole_disk_is_overwritten_without_an_error_while_it_is_frozen(tmp_path: Path) -> None:
    qemu = Qemu(tmp_path, "iothreads")
    machine = qemu.adopt()
    machine.settle({})
    qemu.write("disk0", 0, b"before" * (SIZE // 6))
    frozen = machine.freeze({})
    reserved = [path.stat().st_blocks * 512 for path in (tmp_path / "run").glob("bascule-f-*")]
    assert all(room >= SIZE for room in reserved)
    qemu.write("disk0", 0, b"after!" * (SIZE // 6))
    assert [path.stat().st_blocks * 512 for path in (tmp_path / "run").glob("bascule-f-*")] == reserved
    (shown,) = [disk for disk in frozen.disks if disk.id == "disk0"]
    source = qemu.open(shown.words)
    image = bytearray(SIZE)
    source.read_into(0, memoryview(image))
    source.close()
    assert image == (b"before" * (SIZE // 6)).ljust(SIZE, b"\0")
    frozen.keep()
    machine.close()
    qemu.must_be_clean()
    qemu.end()


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_what_a_guest_zeroes_after_the_instant_is_read_as_it_was(tmp_path: Path, kind: str) -> None:
    """Of QEMU 7.2 the snapshot says it is zero where a range goes on with what was not overwritten."""
    host = Qemu(tmp_path, kind)
    try:
        machine = host.adopt()
        machine.settle({})
        host.write("disk0", 0, b"\1" * 8 * BLOCK)
        whole = machine.freeze({})
        host.do("disk0", f"write -q -z {2 * BLOCK} {2 * BLOCK}")
        assert host.image(whole.disks[0].words) == b"\1" * 8 * BLOCK + bytes(SIZE - 8 * BLOCK)
        whole.keep()
        host.write("disk0", 8 * BLOCK, b"\2" * 4 * BLOCK)
        delta = machine.freeze(whole.tracking)
        host.do("disk0", f"write -q -z {8 * BLOCK} {2 * BLOCK}")
        # What was zeroed before is in it too, and is zero.
        expected = bytearray(b"\7" * SIZE)
        expected[2 * BLOCK : 4 * BLOCK] = bytes(2 * BLOCK)
        expected[8 * BLOCK : 12 * BLOCK] = b"\2" * 4 * BLOCK
        assert host.image(delta.disks[0].words, b"\7" * SIZE) == expected
        delta.drop()
        machine.close()
    finally:
        host.end()


def test_of_images_below_a_disk_only_data_is_read_even_if_it_is_written_meanwhile(tmp_path: Path) -> None:
    base = tmp_path / "base"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, str(SIZE)], check=True)
    below = f"write -P 1 0 {BLOCK}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", below, base], check=True, capture_output=True)
    host = Qemu(tmp_path, below=base)
    try:
        machine = host.adopt()
        machine.settle({})
        host.write("disk0", 4 * BLOCK, b"\2" * BLOCK)
        frozen = machine.freeze({})
        host.write("disk0", 8 * BLOCK, b"\3" * BLOCK)
        host.do("disk0", f"write -q -z 0 {BLOCK}")
        source = host.open(frozen.disks[0].words)
        # What was overwritten meanwhile lies in the fleece, and is read wherever it was.
        read = {extent.offset // BLOCK for extent in split(source.extents(), BLOCK)}
        image = bytearray(SIZE)
        for block in read:
            source.read_into(block * BLOCK, memoryview(image)[block * BLOCK : (block + 1) * BLOCK])
        source.close()
        assert {0, 4} <= read <= {0, 4, 8}
        assert image == b"\1" * BLOCK + bytes(3 * BLOCK) + b"\2" * BLOCK + bytes(SIZE - 5 * BLOCK)
        frozen.drop()
        assert host.owner.execute("query-block-exports") == []
        machine.close()
    finally:
        host.end()


def test_who_asks_for_more_connections_than_there_may_be_is_told(tmp_path: Path) -> None:
    qemu = Qemu(tmp_path, "iothreads")
    machine = qemu.adopt()
    machine.settle({})
    frozen = machine.freeze({})
    words = frozen.disks[0].words
    for _ in range(LINES):
        qemu.open(words).close()
    with pytest.raises(Unavailable, match="bears no more"):
        qemu.open(words)
    frozen.keep()
    with pytest.raises(Unavailable, match="not served any more"):
        qemu.open(words)
    machine.close()
    qemu.must_be_clean()
    qemu.end()


def test_an_empty_image_of_ours_is_what_qemu_makes(tmp_path: Path) -> None:
    for number, size in enumerate((512, SIZE, (5 << 30) + 512, 9 << 40)):
        path = tmp_path / str(number)
        write_empty_qcow2(path, size, reserve=size < 1 << 30)
        checked = subprocess.run(["qemu-img", "check", path], capture_output=True, text=True, check=False)
        assert "No errors" in checked.stdout, checked.stdout + checked.stderr
        told = subprocess.run(["qemu-img", "info", "--output=json", path], capture_output=True, check=True)
        assert json.loads(told.stdout)["virtual-size"] == size


def reading(qemu: Qemu) -> subprocess.Popen[bytes]:
    """Return a process that has frozen a machine and is in the middle of reading it."""
    program = """
import sys
from pathlib import Path
from bascule.blocks.extents import split
from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.fleeced import LINES
from bascule.drivers.hypervisors.qemu.images import write_empty_qcow2
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
room = Path(sys.argv[1])
machine = QemuMachine.adopt(room / "qmp", room / "run", SystemClock(), SystemIds())
machine.settle({})
frozen = machine.freeze({})
sources = [open_source(disk.words) for disk in frozen.disks]
buffer = memoryview(bytearray(sources[0].size_bytes))
while True:
    for source in sources:
        source.read_into(0, buffer)
    print("read", flush=True)
"""
    return subprocess.Popen([sys.executable, "-c", program, str(qemu.room)], stdout=subprocess.PIPE)


@pytest.mark.parametrize("kind", ["iothreads", "one iothread"])
def test_a_collector_killed_while_it_reads_does_not_take_the_machine_with_it(
    tmp_path: Path, kind: str
) -> None:
    """QEMU 7.2 aborts when a client leaves the export of a disk that an iothread serves."""
    qemu = Qemu(tmp_path, kind)
    chance = Random(3)
    for _ in range(8):
        with reading(qemu) as process:
            assert process.stdout is not None
            process.stdout.readline()
            select.select([], [], [], chance.random() * 0.02)
            process.kill()
        qemu.write("disk0", 0, b"alive")
    machine = qemu.adopt()
    assert machine.settle({}) == {}
    frozen = machine.freeze({})
    frozen.keep()
    machine.close()
    qemu.must_be_clean()
    qemu.end()
