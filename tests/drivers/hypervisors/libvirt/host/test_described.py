"""Definitions told to libvirt and read back, without libvirt."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.drivers.hypervisors.libvirt.host.described import Means, domain
from bascule.drivers.hypervisors.libvirt.host.picture import png
from bascule.drivers.hypervisors.libvirt.host.understood import (
    console_in,
    definition_of,
    files_of,
    is_ours,
    with_disks_elsewhere,
)
from bascule.model.errors import Damaged, Refused
from bascule.model.machines import DirectBoot, DiskPlace, Firmware, Hardware, MachineDefinition, Nic, check

MEANS = Means("qemu", "/run/web/console.log")

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,31}", fullmatch=True)
paths = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1).map(
    "/images/{}".format
)
places = st.one_of(
    st.builds(DiskPlace, names, paths, st.sampled_from(["qcow2", "raw"])),
    st.builds(
        DiskPlace,
        names,
        st.sampled_from(
            ["nbd+unix:///web/disk?socket=/run/a%20b", "nbd://10.0.0.1/disk", "nbd://[::1]:10810/"]
        ),
        st.just("raw"),
    ),
)
nics = st.builds(Nic, names, st.sampled_from(["", "user", "lan"]), st.sampled_from(["", "52:54:00:12:34:56"]))
boots = st.none() | st.builds(DirectBoot, paths, st.just("") | paths, st.sampled_from(["", "quiet a=<&> b"]))
hardwares = st.builds(
    Hardware,
    st.integers(1, 64),
    st.integers(16, 1 << 22),
    st.sampled_from(Firmware),
    st.lists(nics, max_size=3, unique_by=lambda nic: nic.id).map(tuple),
    boots,
    st.sampled_from(["", "8adb93b9-8792-5ab2-b8f8-794a1ac19c4b"]),
)
definitions = st.builds(
    MachineDefinition,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,63}", fullmatch=True),
    hardwares,
    st.lists(places, max_size=4, unique_by=lambda place: place.id).map(tuple),
)


@given(definitions)
def test_what_libvirt_is_told_of_a_machine_is_read_back_as_it_was(definition: MachineDefinition) -> None:
    told = domain(check(definition), MEANS)
    assert definition_of(told) == definition
    assert is_ours(told)
    assert console_in(told) == "/run/web/console.log"
    assert files_of(told) >= {place.words for place in definition.disks if not place.is_served}


def test_the_first_disk_is_the_one_that_a_machine_boots_from() -> None:
    disks = (DiskPlace("os", "/images/os"), DiskPlace("data", "/dev/vg/data", "raw"))
    first, second = ElementTree.fromstring(domain(MachineDefinition("web", Hardware(), disks), MEANS)).iter(
        "disk"
    )
    assert [disk.find("boot").get("order") for disk in (first, second)] == ["1", "2"]
    assert (first.get("type"), second.get("type")) == ("file", "block")


@pytest.mark.parametrize(
    "disks",
    [
        (DiskPlace("disk0", "nbds://host/disk0", "raw"),),
        tuple(DiskPlace(f"disk{number}", f"/images/{number}") for number in range(27)),
    ],
    ids=["an export behind TLS", "too many disks"],
)
def test_what_libvirt_cannot_be_told_is_refused(disks: tuple[DiskPlace, ...]) -> None:
    with pytest.raises(Refused, match="disk"):
        domain(MachineDefinition("web", Hardware(), disks), MEANS)


def test_a_disk_of_a_kind_without_a_name_is_named() -> None:
    pool = "<disk type='volume'><source pool='a' volume='b'/><target dev='vda' bus='virtio'/></disk>"
    with pytest.raises(Refused, match="web: disk vda is of libvirt's kind volume"):
        definition_of(f"<domain><name>web</name><devices>{pool}</devices></domain>")


def test_the_disks_of_somebody_elses_domain_move_and_nothing_else_does() -> None:
    definition = MachineDefinition("web", Hardware(2, 512), (DiskPlace("os", "/images/os"),))
    theirs = domain(definition, Means("kvm", "")).replace("</devices>", "<watchdog model='itco'/></devices>")
    served = DiskPlace("os", "nbd://host/os", "raw")
    moved = with_disks_elsewhere(theirs, replace(definition, disks=(served,)))
    assert definition_of(moved).disks == (served,)
    assert "<watchdog" in moved
    for other in (replace(definition, disks=()), replace(definition, hardware=Hardware(1, 512))):
        with pytest.raises(Refused, match="somebody else"):
            with_disks_elsewhere(theirs, other)


def test_a_screen_that_is_a_pixmap_becomes_a_picture() -> None:
    assert png(b"P6\n2 1\n255\n" + bytes(6)).startswith(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(Damaged, match="form that nobody knows"):
        png(b"GIF89a")
