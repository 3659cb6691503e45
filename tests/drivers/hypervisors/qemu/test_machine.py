"""A real QEMU whose processor never starts: its disks are written by its own ``qemu-io`` command."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.disks import bitmaps_in
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.model.errors import Refused, Unavailable
from bascule.ports.disks import DiskSource
from tests.contracts.machines import SIZE, Host, MachineContract
from tests.waiting import wait_until

pytestmark = pytest.mark.lab


class Qemu(Host):
    """Two monitors: one to adopt the machine by, and one of the machine's owner."""

    def __init__(self, room: Path, image: str = "qcow2", device: str = "") -> None:
        self.room = room
        self._data = room / "data"
        words = ["qemu-system-x86_64", "-S", "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults"]
        words += ["-display", "none", "-name", "web", "-object", "iothread,id=io0"]
        for number in range(2):
            path = room / f"disk{number}"
            subprocess.run(["qemu-img", "create", "-q", "-f", image, path, str(SIZE)], check=True)
            node = f"driver={image},node-name=d{number},file.driver=file,file.filename={path}"
            words += ["-blockdev", node, "-device", f"virtio-blk-pci,id=disk{number},drive=d{number}{device}"]
        for name in ("owner", "qmp"):  # the last one listens when both do
            words += ["-qmp", f"unix:{room / name},server=on,wait=off"]
        self.process = subprocess.Popen(words)
        wait_until(self._is_listening)
        self.owner = Monitor.connect(room / "owner")

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.room / "qmp")) == 0

    def adopt(self) -> QemuMachine:
        return QemuMachine.adopt(self.room / "qmp", self.room / "run", SystemClock(), SystemIds())

    def write(self, disk: str, offset: int, data: bytes) -> None:
        self._data.write_bytes(data)
        write = f"write -q -s {self._data} {offset} {len(data)}"
        line = f'qemu-io -d /machine/peripheral/{disk}/virtio-backend "{write}"'
        assert self.owner.execute("human-monitor-command", command_line=line) == ""

    def open(self, words: str) -> DiskSource:
        return open_source(words)

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
        assert list((self.room / "run").glob("bascule-f-*")) == []

    def end(self) -> None:
        self.owner.close()
        self.process.kill()
        self.process.wait()


class TestQemu(MachineContract):
    @pytest.fixture(params=["qcow2", "raw"])
    def host(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
        made = Qemu(tmp_path, request.param)
        yield made
        made.end()


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


def test_a_disk_served_by_an_iothread_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    host = Qemu(tmp_path, device=",iothread=io0")
    machine = host.adopt()
    with pytest.raises(Refused, match="disk0 is served by an iothread"):
        machine.freeze({})
    machine.close()
    host.end()


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
