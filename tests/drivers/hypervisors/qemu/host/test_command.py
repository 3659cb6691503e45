"""What QEMU is told, word for word where it matters."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bascule.drivers.hypervisors.identity import serial_of
from bascule.drivers.hypervisors.qemu.host.command import (
    DISKS_MAX,
    NICS_MAX,
    FirmwareFiles,
    Means,
    check_places,
    command_line,
    loose_cards,
)
from bascule.model.errors import Refused
from bascule.model.machines import (
    DirectBoot,
    DiskPlace,
    Firmware,
    Hardware,
    MachineDefinition,
    Nic,
    mac_of,
    uuid_of,
)

WEB = MachineDefinition(
    "web",
    Hardware(2, 512, nics=(Nic("net0", "lan", "52:54:00:00:00:01"), Nic("net1", ""))),
    (
        DiskPlace("disk0", "/vm/web, the first.qcow2"),
        DiskPlace("disk1", "nbd+unix:///web/disk1?socket=/run/web.sock", "raw"),
        DiskPlace("disk2", "nbd://10.0.0.1:10810/disk2", "raw"),
    ),
)
MEANS = Means("tcg", {"net0": "tap,fd=7"}, frozenset({"/vm/web, the first.qcow2"}))


def values(words: list[str], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def devices(words: list[str], driver: str) -> list[dict[str, Any]]:
    return [found for found in map(json.loads, values(words, "-device")) if found["driver"] == driver]


def test_a_disk_keeps_its_name_and_has_its_image_in_one_piece_whatever_it_is_called() -> None:
    words = command_line(WEB, MEANS)
    node = json.loads(values(words, "-blockdev")[0])
    assert node["driver"] == "qcow2"
    assert node["file"]["filename"] == "/vm/web, the first.qcow2"
    assert node["cache"] == node["file"]["cache"] == {"direct": True}
    disks = devices(words, "virtio-blk-pci")
    assert [(disk["id"], disk["serial"], disk["bootindex"]) for disk in disks] == [
        ("disk0", "disk0", 1),
        ("disk1", "disk1", 2),
        ("disk2", "disk2", 3),
    ]
    assert len({disk["addr"] for disk in disks}) == 3


def test_a_machine_on_an_export_waits_for_its_server_and_then_stands_still_instead_of_failing() -> None:
    words = command_line(WEB, MEANS)
    _, unix, inet = map(json.loads, values(words, "-blockdev"))
    assert unix["server"] == {"type": "unix", "path": "/run/web.sock"}
    assert (unix["export"], unix["reconnect-delay"]) == ("web/disk1", 30)
    assert inet["server"] == {"type": "inet", "host": "10.0.0.1", "port": "10810"}
    own, *served = devices(words, "virtio-blk-pci")
    assert all((disk["werror"], disk["rerror"]) == ("stop", "stop") for disk in served)
    assert "werror" not in own


def test_cards_have_addresses_that_stay_and_a_cable_may_hang_loose() -> None:
    words = command_line(WEB, MEANS)
    assert values(words, "-netdev") == ["tap,fd=7,id=net0"]
    plugged, loose = devices(words, "virtio-net-pci")
    assert (plugged["mac"], plugged["netdev"]) == ("52:54:00:00:00:01", "net0")
    assert loose["mac"] == mac_of("web", "net1") == mac_of("web", "net1") != mac_of("web", "net2")
    assert "netdev" not in loose
    assert loose_cards(WEB.hardware) == [loose["id"]], "by which the guest is shown that it does"
    assert "id" not in plugged


def test_one_more_card_does_not_move_a_disk_and_the_other_way_round() -> None:
    hardware = replace(WEB.hardware, nics=(*WEB.hardware.nics, Nic("net2", "")))
    more = command_line(replace(WEB, hardware=hardware), MEANS)
    before = command_line(WEB, MEANS)
    assert devices(more, "virtio-blk-pci") == devices(before, "virtio-blk-pci")
    fewer = command_line(replace(WEB, disks=WEB.disks[:1]), MEANS)
    assert devices(fewer, "virtio-net-pci") == devices(before, "virtio-net-pci")


def test_each_monitor_has_a_socket_and_the_one_for_power_listens_last() -> None:
    sockets = [words.split(",")[0] for words in values(command_line(WEB, MEANS), "-qmp")]
    assert sockets == ["unix:watch.qmp", "unix:replicate.qmp", "unix:power.qmp"]


def test_hardware_is_told_as_it_is_defined() -> None:
    words = command_line(WEB, MEANS)
    assert (values(words, "-smp"), values(words, "-m"), values(words, "-name")) == (["2"], ["512M"], ["web"])
    assert values(words, "-machine") == ["q35,accel=tcg"]
    assert values(command_line(WEB, replace(MEANS, accelerator="kvm")), "-cpu") == ["host"]
    assert values(words, "-uuid") == [uuid_of("web")]
    numbered = replace(WEB, hardware=replace(WEB.hardware, uuid=uuid_of("db")))
    assert values(command_line(numbered, MEANS), "-uuid") == [uuid_of("db")]
    assert "-kernel" not in words
    boot = DirectBoot("/boot/k", "/boot/i", "console=ttyS0, quiet")
    direct = command_line(replace(WEB, hardware=replace(WEB.hardware, boot=boot)), MEANS)
    assert [values(direct, option) for option in ("-kernel", "-initrd", "-append")] == [
        ["/boot/k"],
        ["/boot/i"],
        ["console=ttyS0, quiet"],
    ]


def test_a_machine_with_uefi_has_variables_of_its_own() -> None:
    uefi = replace(WEB, hardware=replace(WEB.hardware, firmware=Firmware.UEFI))
    words = command_line(uefi, replace(MEANS, uefi=FirmwareFiles("/fw/code.fd", "/vm/variables.fd")))
    code, variables = map(json.loads, values(words, "-blockdev")[:2])
    assert (code["file"]["filename"], code["read-only"]) == ("/fw/code.fd", True)
    assert (variables["file"]["filename"], variables["read-only"]) == ("/vm/variables.fd", False)
    assert "pflash0=code,pflash1=variables" in values(words, "-machine")[0]


def test_as_many_disks_and_cards_as_are_allowed_have_a_place_each() -> None:
    nics = tuple(Nic(f"net{number}", "") for number in range(NICS_MAX))
    disks = tuple(DiskPlace(f"disk{number}", f"/vm/{number}.qcow2") for number in range(DISKS_MAX))
    full = MachineDefinition("full", Hardware(nics=nics), disks)
    check_places(full)
    words = command_line(full, MEANS)
    found = [device["addr"] for device in map(json.loads, values(words, "-device")) if "addr" in device]
    assert len(set(found)) == len(found) == NICS_MAX + DISKS_MAX + 3
    with pytest.raises(Refused, match="too many"):
        check_places(replace(full, disks=(*disks, DiskPlace("one-more", "/vm/more"))))


def test_serial_numbers_fit_and_differ() -> None:
    assert serial_of("disk0") == "disk0"
    long = [serial_of(f"a-disk-with-a-long-name-{number}") for number in range(3)]
    assert len(set(long)) == 3
    assert all(len(serial) == 20 for serial in long)


@pytest.mark.parametrize("words", ["nbds://host/disk0", "nbd+unix:///disk0", "nbd:"])
def test_exports_that_qemu_cannot_be_told_are_refused(words: str) -> None:
    with pytest.raises(Refused):
        check_places(MachineDefinition("web", Hardware(), (DiskPlace("disk0", words, "raw"),)))


def test_an_agent_in_the_guest_finds_its_channel() -> None:
    words = command_line(WEB, MEANS)
    (port,) = devices(words, "virtserialport")
    assert port["name"] == "org.qemu.guest_agent.0"
    assert f"socket,id={port['chardev']},path=agent.sock,server=on,wait=off" in values(words, "-chardev")
