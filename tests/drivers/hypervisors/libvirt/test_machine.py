"""A domain of a real libvirtd whose processor never starts: its disks are written by QEMU's ``qemu-io``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.libvirt.machine import LibvirtMachine
from bascule.model.errors import Refused, Unavailable
from bascule.ports.disks import DiskSource
from bascule.ports.machines import Recorded
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
        *,
        images: tuple[str, str] = ("qcow2", "qcow2"),
        driver: str = "",
        boot: str = "",
        more: str = "",
        name: str = "web",
    ) -> None:
        self.daemon = daemon
        self.name = name
        self.room = room
        disks = "".join(self._disk(number, image, driver) for number, image in enumerate(images))
        self.connection = libvirt.open(daemon.uri)
        self.domain = self.connection.defineXML(
            f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><iothreads>1</iothreads>"
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
        self.domain = self.connection.lookupByName(self.name)

    def start(self) -> None:
        self.domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def adopt(self) -> LibvirtMachine:
        return LibvirtMachine(self.daemon.uri, self.name, self.room / "run", SystemClock(), SystemIds())

    def write(self, disk: str, offset: int, data: bytes) -> None:
        (self.room / "data").write_bytes(data)
        self.do(disk, f"write -q -s {self.room / 'data'} {offset} {len(data)}")

    def do(self, disk: str, command: str) -> None:
        line = f'qemu-io -d /machine/peripheral/ua-{disk}/virtio-backend "{command}"'
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


Make = Callable[..., Domain]


@pytest.fixture
def make(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Make]:
    """Make a domain, which is gone after the test."""
    made: list[Domain] = []

    def one(**words: Any) -> Domain:
        made.append(Domain(libvirtd, tmp_path, **words))
        return made[-1]

    yield one
    for domain in made:
        domain.end()


class TestIothreads(MachineContract):
    """A machine whose disks nobody may read where they are: QEMU copies each instant."""

    @pytest.fixture
    def host(self, make: Make) -> Host:
        return make(driver="iothread='1'")

    def test_zeroes_that_were_written_are_changes(self, host: Domain) -> None:
        host.write("disk0", 3 * BLOCK, b"x" * BLOCK)
        machine, tracking = host.since_first()
        host.write("disk0", 3 * BLOCK, bytes(BLOCK))
        frozen = machine.freeze(tracking)
        assert self.changed(host, frozen) == {3}
        assert self.content(host, frozen) == bytes(SIZE)
        frozen.keep()
        machine.close()
        host.must_be_clean()


class TestLibvirt(MachineContract):
    @pytest.fixture
    def host(self, make: Make) -> Host:
        return make()

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
def host(make: Make) -> Domain:
    return make()


def test_a_disk_that_cannot_be_frozen_is_refused_before_anything_is_done(make: Make) -> None:
    host = make(driver="error_policy='report'")
    machine = host.adopt()
    assert machine.settle({}) == {}
    for freeze in (machine.freeze, machine.prepare):
        with pytest.raises(Refused, match=r"web: disk disk0 .*lack of room") as refused:
            freeze({})
        assert refused.value.cure
    assert host.checkpoints() == set()
    machine.close()


@pytest.mark.parametrize("driver", ["", "iothread='1'"])
def test_a_raw_disk_is_shown_whole_at_each_instant_and_others_beside_it_are_deltas(
    make: Make, driver: str
) -> None:
    """libvirt records changes in qcow2 images only; of a raw disk digests find what changed (R-R-2)."""
    host = make(driver=driver, images=("raw", "qcow2"))
    contract = TestLibvirt()
    machine, tracking = host.since_first()
    assert set(tracking) == {"disk1"}
    assert machine.recorded(tracking) == {"disk0": Recorded(SIZE, None), "disk1": Recorded(SIZE, 0)}
    for disk in ("disk0", "disk1"):
        host.write(disk, 3 * BLOCK, b"x" * BLOCK)
    frozen = machine.freeze(tracking)
    for disk in ("disk0", "disk1"):
        host.write(disk, 3 * BLOCK, b"y" * BLOCK)
    assert {disk.id: disk.is_delta for disk in frozen.disks} == {"disk0": False, "disk1": True}
    assert contract.content(host, frozen) == bytes(3 * BLOCK) + b"x" * BLOCK + bytes(SIZE - 4 * BLOCK)
    assert contract.changed(host, frozen, "disk1") == {3}
    frozen.keep()
    machine.close()
    host.must_be_clean()


def test_a_machine_of_raw_disks_only_leaves_nothing_of_ours_behind(make: Make) -> None:
    host = make(images=("raw", "raw"))
    machine, tracking = host.since_first()
    assert tracking == {}
    machine.freeze({}).drop()
    machine.close()
    assert (host.bitmaps(), host.checkpoints()) == (set(), set())
    assert list((host.room / "run").iterdir()) == []


def test_an_instant_that_has_to_be_copied_and_has_no_room_is_refused_before(
    make: Make, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", run], check=True)
    try:
        host = make(driver="iothread='1'")
        host.write("disk0", 0, os.urandom(SIZE // 2))
        machine = host.adopt()
        machine.settle({})
        with pytest.raises(Unavailable, match=r"3 MiB are free, [4-6] MiB are needed"):
            machine.freeze({})
        assert host.checkpoints() == set()
        machine.close()
    finally:
        subprocess.run(["umount", run], check=True)


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
    with pytest.raises(Unavailable, match="something else under way"):
        machine.prepare(tracking)  # before it stands still, for libvirt would wait half a minute
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
    wait_until(host.runs)
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
