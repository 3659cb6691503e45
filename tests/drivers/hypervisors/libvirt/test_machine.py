"""A domain of a real libvirtd whose processor never starts: its disks are written by QEMU's ``qemu-io``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.libvirt.machine import LibvirtMachine
from bascule.model.errors import Refused, Unavailable
from bascule.ports.disks import DiskSource
from lab.guests import initramfs, kit
from lab.waiting import wait_until
from tests.contracts.machines import BLOCK, SIZE, Host, MachineContract
from tests.servers.libvirtd import Libvirtd, running

libvirt = pytest.importorskip("libvirt", reason="make check does without it; make test builds it")
libvirt_qemu = pytest.importorskip("libvirt_qemu", reason="as above")

pytestmark = pytest.mark.lab

_HMP = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP


class Domain(Host):
    """A domain with two disks; ``driver`` are more attributes of their drivers."""

    def __init__(
        self,
        daemon: Libvirtd,
        room: Path,
        image: str = "qcow2",
        driver: str = "",
        boot: str = "",
        more: str = "",
    ) -> None:
        self.daemon = daemon
        self.room = room
        disks = "".join(self._disk(number, image, driver) for number in range(2))
        self.connection = libvirt.open(daemon.uri)
        self.domain = self.connection.defineXML(
            "<domain type='qemu'><name>web</name><memory unit='MiB'>128</memory><iothreads>1</iothreads>"
            f"<os><type arch='x86_64' machine='q35'>hvm</type>{boot}</os><features><acpi/></features>"
            f"<devices>{disks}{more}</devices></domain>"
        )
        self.start()

    def since_first(self) -> tuple[LibvirtMachine, dict[str, str]]:
        """Adopt the machine and take its first instant."""
        machine = self.adopt()
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        return machine, dict(first.tracking)

    def _disk(self, number: int, image: str, driver: str) -> str:
        path = self.room / f"disk{number}"
        subprocess.run(["qemu-img", "create", "-q", "-f", image, path, str(SIZE)], check=True)
        return (
            f"<disk type='file'><driver name='qemu' type='{image}' {driver}/><source file='{path}'/>"
            f"<target dev='vd{'ab'[number]}' bus='virtio'/><alias name='ua-disk{number}'/></disk>"
        )

    def reconnect(self) -> None:
        """Connect again, to a daemon that has started anew."""
        self.connection.close()
        self.connection = libvirt.open(self.daemon.uri)
        self.domain = self.connection.lookupByName("web")

    def start(self) -> None:
        self.domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def adopt(self) -> LibvirtMachine:
        return LibvirtMachine(self.daemon.uri, "web", self.room / "run", SystemClock(), SystemIds())

    def write(self, disk: str, offset: int, data: bytes) -> None:
        (self.room / "data").write_bytes(data)
        write = f"write -q -s {self.room / 'data'} {offset} {len(data)}"
        line = f'qemu-io -d /machine/peripheral/ua-{disk}/virtio-backend "{write}"'
        assert libvirt_qemu.qemuMonitorCommand(self.domain, line, _HMP) == ""

    def open(self, words: str) -> DiskSource:
        return open_source(words)

    def runs(self) -> bool:
        if self.asked("query-status")["status"] == "prelaunch":
            self.domain.resume()
        return bool(self.asked("query-status")["running"])

    def asked(self, command: str) -> Any:
        words = json.dumps({"execute": command})
        return json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, words, 0))["return"]

    def bitmaps(self) -> set[str]:
        return {
            bitmap["name"]
            for block in self.asked("query-block")
            for bitmap in block["inserted"].get("dirty-bitmaps", ())
        }

    def checkpoints(self) -> set[str]:
        return {known.getName() for known in self.domain.listAllCheckpoints()}

    def must_be_clean(self) -> None:
        assert len(self.bitmaps()) == 1
        assert self.checkpoints() == self.bitmaps()
        assert self.asked("query-block-exports") == []
        assert self.asked("query-jobs") == []
        assert list((self.room / "run").iterdir()) == []

    def end(self) -> None:
        if self.domain.isActive():
            self.domain.destroy()
        self.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
        self.connection.close()


class TestLibvirt(MachineContract):
    @pytest.fixture
    def host(self, libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Host]:
        made = Domain(libvirtd, tmp_path)
        yield made
        made.end()

    def changed_since(self, host: Host, machine: LibvirtMachine, tracking: dict[str, str]) -> set[int]:
        frozen = machine.freeze(tracking)
        found = self.changed(host, frozen)
        frozen.drop()
        return found

    def test_what_a_machine_recorded_outlives_its_clean_stop(self, host: Domain) -> None:
        machine, tracking = host.since_first()
        host.write("disk0", 3 * BLOCK, b"x")
        machine.close()
        host.domain.destroy()  # with a SIGTERM first, at which QEMU stores what it recorded
        host.start()
        machine = host.adopt()
        assert machine.settle(tracking) == tracking
        host.write("disk0", 4 * BLOCK, b"x")
        assert self.changed_since(host, machine, tracking) == {3, 4}
        machine.close()
        host.must_be_clean()

    def test_what_a_killed_machine_recorded_is_not_believed(self, host: Domain) -> None:
        """Stored before, or never stored: neither can be had again, and neither is in the way."""
        machine, tracking = host.since_first()
        machine.close()
        for _ in range(2):
            host.daemon.kill_machine("web")
            wait_until(lambda: not host.domain.isActive())
            host.start()
            machine = host.adopt()
            assert machine.settle(tracking) == {}
            assert host.checkpoints() == set()
            machine.close()
            machine, tracking = host.since_first()
            host.write("disk0", 4 * BLOCK, b"x")
            assert self.changed_since(host, machine, tracking) == {4}
            machine.close()
            host.domain.destroy()
            host.start()
        host.must_be_clean()

    def test_a_daemon_that_dies_in_an_instant_costs_no_change(self, host: Domain) -> None:
        machine, tracking = host.since_first()
        host.write("disk0", 3 * BLOCK, b"x")
        frozen = machine.freeze(tracking)
        host.daemon.kill()
        with pytest.raises(Unavailable):
            frozen.keep()
        machine.close()
        host.reconnect()
        host.write("disk0", 4 * BLOCK, b"x")
        machine = host.adopt()
        assert machine.settle(tracking) == tracking
        assert self.changed_since(host, machine, tracking) == {3, 4}
        machine.close()
        host.must_be_clean()


@pytest.fixture
def host(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Domain]:
    made = Domain(libvirtd, tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("image", "driver", "why"),
    [
        ("raw", "", "records changes in qcow2 images only"),
        ("qcow2", "iothread='1'", "served by an iothread"),
        ("qcow2", "error_policy='report'", "lack of room"),
    ],
)
def test_a_disk_that_cannot_be_frozen_is_refused_before_anything_is_done(
    libvirtd: Libvirtd, tmp_path: Path, image: str, driver: str, why: str
) -> None:
    host = Domain(libvirtd, tmp_path, image, driver)
    machine = host.adopt()
    assert machine.settle({}) == {}
    for freeze in (machine.freeze, machine.prepare):
        with pytest.raises(Refused, match=f"web: disk disk0 .*{why}") as refused:
            freeze({})
        assert refused.value.cure
    assert host.checkpoints() == set()
    machine.close()
    host.end()


def test_a_disk_whose_record_is_gone_offers_all_of_it(host: Domain) -> None:
    machine, tracking = host.since_first()
    frozen = machine.freeze({**tracking, "disk1": "bascule-elsewhere", "disk7": "bascule-nowhere"})
    assert {disk.id: disk.is_delta for disk in frozen.disks} == {"disk0": True, "disk1": False}
    frozen.keep()
    machine.close()
    host.must_be_clean()


def test_a_folder_that_is_gone_leaves_the_machine_as_it_was(host: Domain) -> None:
    machine, tracking = host.since_first()
    (host.room / "run").rename(host.room / "gone")
    with pytest.raises(Unavailable, match="run cannot take what web overwrites: No such file"):
        machine.freeze(tracking)
    (host.room / "gone").rename(host.room / "run")
    machine.freeze(tracking).keep()
    machine.close()
    host.must_be_clean()


def test_a_machine_that_is_off_or_unknown_or_ends_meanwhile_is_named(host: Domain) -> None:
    machine, tracking = host.since_first()
    host.domain.destroy()
    with pytest.raises(Unavailable, match="web is off"):
        machine.freeze(tracking)
    with pytest.raises(Unavailable, match="web is off"):
        host.adopt()
    with pytest.raises(Refused, match="ghost"):
        LibvirtMachine(host.daemon.uri, "ghost", host.room / "run", SystemClock(), SystemIds())
    machine.close()


def test_a_daemon_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"libvirt at qemu.*No such file"):
        LibvirtMachine(
            f"qemu+unix:///system?socket={tmp_path}/none", "web", tmp_path, SystemClock(), SystemIds()
        )


def test_a_backup_of_somebody_else_stays(host: Domain) -> None:
    machine, tracking = host.since_first()
    theirs = (
        f"<domainbackup mode='pull'><server transport='unix' socket='{host.room}/theirs'/></domainbackup>"
    )
    host.domain.backupBegin(theirs, None)
    with pytest.raises(Unavailable, match="somebody else makes a backup"):
        machine.settle(tracking)
    assert str(host.room / "theirs") in host.domain.backupGetXMLDesc()
    host.domain.abortJob()
    machine.close()


def test_checkpoints_of_somebody_else_stay(host: Domain) -> None:
    host.domain.checkpointCreateXML("<domaincheckpoint><name>theirs</name></domaincheckpoint>")
    machine, tracking = host.since_first()
    machine.freeze(tracking).keep()
    assert "theirs" in host.checkpoints()
    machine.settle({})
    assert host.checkpoints() == {"theirs"}
    machine.close()


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_machine_that_a_dead_owner_and_keeper_left_standing_runs_again_and_others_stay(
    host: Domain, is_ours: bool
) -> None:
    machine, tracking = host.since_first()
    assert host.runs()
    host.domain.suspend()
    if is_ours:
        (host.room / "run" / "standing").touch()
    assert machine.settle(tracking) == tracking
    assert host.runs() is is_ours
    machine.close()


def test_a_machine_that_is_held_too_long_runs_again_and_says_so(host: Domain) -> None:
    machine, tracking = host.since_first()
    assert host.runs()
    freezing = machine.prepare(tracking)
    freezing.hold()
    assert not host.runs()
    wait_until(host.runs)
    with pytest.raises(Unavailable, match="web ran before all machines"):
        freezing.release()
    freezing.cancel()
    machine.close()
    host.must_be_clean()


_OWNER = """
import sys
from pathlib import Path
from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.libvirt.machine import LibvirtMachine
machine = LibvirtMachine(sys.argv[1], "web", Path(sys.argv[2]), SystemClock(), SystemIds())
freezing = machine.prepare({})
freezing.hold()
if "cut" in sys.argv:
    freezing.cut()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how_far", ["held", "cut"])
def test_the_keeper_of_a_killed_owner_lets_the_machine_run_and_ends_its_backup(
    host: Domain, how_far: str
) -> None:
    machine, tracking = host.since_first()
    machine.close()
    assert host.runs()
    words = [sys.executable, "-c", _OWNER, host.daemon.uri, str(host.room / "run"), how_far]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        assert not host.runs()
        owner.kill()
    wait_until(host.runs, 4.5)
    wait_until(lambda: not host.domain.jobStats().get("type", 0))
    machine = host.adopt()
    assert machine.settle(tracking) == tracking
    machine.close()
    host.must_be_clean()


def test_qemu_of_another_user_serves_from_our_folder() -> None:
    """As distributions have it: libvirt's daemon is root, its machines are not."""
    with running(qemu_user="nobody") as daemon:
        host = Domain(daemon, daemon.room)
        machine, tracking = host.since_first()
        host.write("disk0", 3 * BLOCK, b"x")
        assert TestLibvirt().changed_since(host, machine, tracking) == {3}
        assert (daemon.room / "run").owner() == "nobody"
        machine.close()
        host.end()


_WRITES = """
say ready
number=0
while dd if=/dev/urandom of=/dev/vda bs=64k count=1 oflag=direct seek=$((number % 64)) 2>/dev/null; do
    number=$((number + 1))
    say wrote $number
done
say "was told of an error"
"""


def test_a_guest_goes_on_when_there_is_no_room_for_what_it_overwrites_and_learns_nothing(
    tmp_path: Path,
) -> None:
    """The keeper ends the backup then, and who reads it gets an error."""
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", run], check=True)
    try:
        with running() as daemon:
            overwrite_more_than_there_is_room_for(daemon, tmp_path)
    finally:
        subprocess.run(["umount", run], check=True)


def overwrite_more_than_there_is_room_for(daemon: Libvirtd, room: Path) -> None:
    console = room / "console"
    initramfs(room / "initrd", _WRITES)
    (room / "content").write_bytes(os.urandom(SIZE))  # of holes nothing would have to be kept
    boot = (
        f"<kernel>{kit() / 'vmlinuz'}</kernel><initrd>{room / 'initrd'}</initrd>"
        "<cmdline>console=ttyS0 quiet panic=-1</cmdline>"
    )
    host = Domain(daemon, room, boot=boot, more=f"<serial type='file'><source path='{console}'/></serial>")
    host.write("disk0", 0, (room / "content").read_bytes())
    machine = host.adopt()
    machine.settle({})
    frozen = machine.freeze({})
    source = host.open(frozen.disks[0].words)
    host.domain.resume()
    wait_until(lambda: "wrote 100" in console.read_text(), 120)
    assert host.runs()
    with pytest.raises(Unavailable):
        source.read_into(0, memoryview(bytearray(SIZE)))
    source.close()
    frozen.drop()
    assert "error" not in console.read_text()
    machine.close()
    host.end()
