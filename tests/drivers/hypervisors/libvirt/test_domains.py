"""Descriptions of machines as libvirt gives them, read without libvirt."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.drivers.hypervisors.libvirt.backups import Slot, backup, checkpoint, is_of, is_pushed, sizes
from bascule.drivers.hypervisors.libvirt.domains import Disk, alias, disks_of, owner_of, part, refuse_unfit
from bascule.model.errors import Refused


def domain(*devices: str) -> str:
    return f"<domain><devices>{''.join(devices)}</devices></domain>"


def disk(more: str = "", *, bus: str = "virtio", driver: str = "") -> str:
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2' {driver}/>"
        f"<target dev='vda' bus='{bus}'/>{more}</disk>"
    )


THREADED = "<driver iothread='2'/>"


def only(description: str) -> Disk:
    (found,) = disks_of(description)
    return found


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,31}", fullmatch=True))
def test_a_name_is_kept_in_an_alias_that_libvirt_takes(name: str) -> None:
    kept = alias(name)
    assert set(kept) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert part(ElementTree.fromstring(f"<disk><alias name='{kept}'/></disk>"), "vda") == name


def test_disks_of_others_are_called_what_libvirt_calls_them() -> None:
    assert only(domain(disk("<alias name='virtio-disk0'/>"))).id == "vda"
    assert only(domain(disk())).id == "vda"
    assert only(domain(disk("<alias name='ua-data'/>"))).id == "data"


def test_what_no_guest_writes_to_is_no_disk() -> None:
    cdrom = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
    description = domain(cdrom, disk("<readonly/>"), disk("<alias name='ua-disk0'/>"))
    assert [found.id for found in disks_of(description)] == ["disk0"]
    with pytest.raises(Refused, match="no disk"):
        disks_of(domain(cdrom))


@pytest.mark.parametrize(
    ("description", "why"),
    [
        (domain(disk("<shareable/>")), "shared"),
        (domain(disk(driver="error_policy='ignore'")), "error_policy"),
    ],
)
def test_disks_that_cannot_be_frozen_are_told_from_those_that_can(description: str, why: str) -> None:
    refuse_unfit("web", only(domain(disk())))
    refuse_unfit("web", only(domain(disk(driver="error_policy='stop'"))))
    with pytest.raises(Refused, match=f"web: disk vda .*{why}") as refused:
        refuse_unfit("web", only(description))
    assert refused.value.cure


@pytest.mark.parametrize(
    ("description", "is_threaded"),
    [
        (domain(disk()), False),
        (domain(disk(driver="iothread='1'")), True),
        (domain(f"<controller type='scsi' index='0'>{THREADED}</controller>", disk(bus="scsi")), True),
        (domain(f"<controller type='scsi' index='1'>{THREADED}</controller>", disk(bus="scsi")), False),
        (domain(f"<controller type='scsi' index='0'>{THREADED}</controller>", disk()), False),
    ],
)
def test_disks_that_an_iothread_serves_are_known_and_their_instant_is_copied(
    description: str, is_threaded: bool
) -> None:
    slots = [Slot(only(description), 1, "bascule-ab-0", "")]
    assert slots[0].disk.has_iothread is is_pushed(slots) is is_threaded
    asked = ElementTree.fromstring(backup(slots, Path("/run/web")))
    assert asked.get("mode") == ("push" if is_threaded else "pull")
    assert (asked.find("server") is None) is is_threaded


def test_changes_are_recorded_on_qcow2_images_only() -> None:
    raw = "<disk type='block'><target dev='vdb' bus='virtio'/></disk>"
    slots = [Slot(found, 1, "bascule-ab-0", "") for found in disks_of(domain(disk(), raw))]
    assert [slot.disk.is_recorded for slot in slots] == [True, False]
    recorded = checkpoint("bascule-ab", slots)
    assert recorded is not None
    found = {one.get("name"): one.get("checkpoint") for one in ElementTree.fromstring(recorded).iter("disk")}
    assert found == {"vda": "bitmap", "vdb": "no"}
    assert checkpoint("bascule-ab", slots[1:]) is None


def test_an_instant_is_asked_for_disk_by_disk() -> None:
    slots = [
        Slot(only(domain(disk())), 1, "bascule-ab-0", "bascule-cd"),
        Slot(only(domain(disk().replace("vda", "vdb"))), 1, "bascule-ab-1", ""),
    ]
    asked = backup(slots, Path("/run/odd & <name>"))
    first, second = ElementTree.fromstring(asked).iter("disk")
    assert (first.get("backupmode"), first.get("incremental")) == ("incremental", "bascule-cd")
    assert (second.get("backupmode"), second.get("exportbitmap")) == (None, None)
    assert ElementTree.fromstring(asked).find("server").get("socket") == "/run/odd & <name>/nbd"
    assert is_of(asked, "bascule-ab")
    assert not is_of(asked, "bascule-cd")
    recorded = ElementTree.fromstring(checkpoint("bascule-ab", slots))
    assert [found.get("name") for found in recorded.iter("disk")] == ["vda", "vdb"]


def test_only_records_that_are_whole_have_sizes() -> None:
    disks = "<disk name='vda' size='65536'/><disk name='vdb'/>"
    assert sizes(f"<domaincheckpoint><disks>{disks}</disks></domaincheckpoint>") == {"vda": 65536}


def test_who_runs_a_machine_is_told_by_its_label() -> None:
    label = "<domain><seclabel type='dynamic' model='dac'><label>+64055:+109</label></seclabel></domain>"
    assert owner_of(label) == (64055, 109)
    assert owner_of(domain()) is None
