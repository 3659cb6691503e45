"""A host's folder after crashes, and under many hands."""

from __future__ import annotations

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.qemu.host import folder as rooms
from bascule.drivers.hypervisors.qemu.host.folder import HostFolder, locked
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.model.machines import DiskPlace, Firmware, Hardware, MachineDefinition

WEB = MachineDefinition("web", Hardware(), ())


@pytest.fixture
def host(room: Path) -> QemuHost:
    return QemuHost(room, SystemClock(), SystemIds(), "tcg")


class PowerCut(BaseException):
    """The lights go out."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_power_cut_while_defining_leaves_the_old_definition_or_the_new_one(
    host: QemuHost, room: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    host.define(WEB)
    new, calls = replace(WEB, hardware=Hardware(cpus=4)), 0

    def until_the_cut(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise PowerCut
        return real(*given)

    owner = os if step == "fsync" else Path
    real = getattr(owner, step)
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, until_the_cut)
        try:
            host.define(new)
        except PowerCut:
            assert calls == call
    again = QemuHost(room, SystemClock(), SystemIds(), "tcg")
    assert again.definition("web") in (WEB, new)
    assert again.machines() == ("web",)
    again.define(new)
    assert again.definition("web") == new


def test_a_power_cut_before_the_first_definition_leaves_no_machine(
    host: QemuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        with pytest.raises(PowerCut):
            host.define(WEB)
    assert host.machines() == ()
    with pytest.raises(Missing, match="web"):
        host.definition("web")
    host.forget("web")
    host.define(WEB)
    assert host.machines() == ("web",)


def test_many_may_define_machines_at_once(host: QemuHost) -> None:
    with ThreadPoolExecutor(8) as crew:
        for number in range(40):
            crew.submit(host.define, replace(WEB, name=f"m{number % 10}", hardware=Hardware(cpus=1 + number)))
    assert host.machines() == tuple(sorted(f"m{number}" for number in range(10)))
    assert all(host.definition(name).hardware.cpus > 0 for name in host.machines())


def test_a_lock_on_a_folder_that_was_removed_and_made_again_is_a_new_lock(room: Path) -> None:
    folder = room / "machine"
    folder.mkdir()
    entered, leave = threading.Event(), threading.Event()

    def own() -> None:
        with locked(folder):
            entered.set()
            leave.wait(30)

    with locked(folder):
        waiting = threading.Thread(target=own)
        waiting.start()
        assert not entered.wait(0.05)
        folder.rmdir()
        folder.mkdir()
    assert entered.wait(30)
    handle = os.open(folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    leave.set()
    waiting.join(30)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)


def test_a_definition_that_cannot_be_read_is_damaged_and_stays_as_evidence(
    host: QemuHost, room: Path
) -> None:
    host.define(WEB)
    file = room / "machines" / "web" / "definition.json"
    file.write_text("{")
    with pytest.raises(Damaged):
        host.definition("web")
    with pytest.raises(Damaged):
        host.start("web")
    assert file.read_text() == "{"


def test_a_folder_that_cannot_be_written_says_so(room: Path) -> None:
    (room / "file").touch()
    host = QemuHost(room / "file" / "host", SystemClock(), SystemIds(), "tcg")
    with pytest.raises(Unavailable, match="file"):
        host.define(WEB)
    with pytest.raises(Unavailable, match="file"):
        host.new_disk("web", "disk0")


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made(room: Path) -> None:
    host = QemuHost(room / ("long" * 30), SystemClock(), SystemIds(), "tcg")
    with pytest.raises(Refused, match="107 characters"):
        host.define(WEB)
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("name", ["../web", "a/b", ""])
def test_no_name_leads_out_of_the_folder(host: QemuHost, name: str) -> None:
    for ask in (host.definition, host.start, host.cut_power, host.console):
        with pytest.raises(Missing):
            ask(name)


def test_only_places_that_were_given_out_are_removed(host: QemuHost, room: Path) -> None:
    given = Path(host.new_disk("web", "disk0").words)
    given.touch()
    for place in (room / "networks.json", given.parent / "mine.qcow2", given.parent / ".." / given.name):
        place.touch()
        with pytest.raises(Refused, match="is no image that this host gave a place to"):
            host.remove_disk(DiskPlace("disk0", str(place)))
        assert place.exists()
    host.remove_disk(DiskPlace("disk0", str(given)))
    assert not given.exists()


def test_what_is_not_there_is_refused_when_it_is_defined(host: QemuHost, room: Path) -> None:
    image = room / "disk.qcow2"
    with pytest.raises(Refused, match=r"no disk is at .*disk\.qcow2"):
        host.define(replace(WEB, disks=(DiskPlace("disk0", str(image)),)))
    image.touch()
    host.define(replace(WEB, disks=(DiskPlace("disk0", str(image)),)))
    relative = os.path.relpath(image)
    with pytest.raises(Refused, match="no whole path"):
        host.define(replace(WEB, disks=(DiskPlace("disk0", relative),)))


def test_a_machine_that_needs_uefi_is_refused_where_there_is_none_with_the_cure(
    host: QemuHost, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bascule.drivers.hypervisors.qemu.host.images.FIRMWARES", ())
    with pytest.raises(Refused, match="needs UEFI") as refused:
        host.define(replace(WEB, hardware=Hardware(firmware=Firmware.UEFI)))
    assert "ovmf" in refused.value.cure
    firmware = room / "firmware"
    firmware.touch()
    monkeypatch.setattr("bascule.drivers.hypervisors.qemu.host.images.FIRMWARES", ((firmware, firmware),))
    with pytest.raises(Refused, match="UEFI does not start with 128 MiB"):
        host.define(replace(WEB, hardware=Hardware(memory_mib=128, firmware=Firmware.UEFI)))
    host.define(replace(WEB, hardware=Hardware(firmware=Firmware.UEFI)))


def test_a_host_opened_by_a_relative_path_stays_where_it_is(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room)
    folder = HostFolder(Path("host"))
    monkeypatch.chdir("/")
    assert folder.path == room / "host"
    assert rooms.HostFolder(folder.path).names() == ()
