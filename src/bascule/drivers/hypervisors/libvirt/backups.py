"""The names of an instant and the XML by which libvirt is asked for it, and tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from .domains import Disk

OURS = "bascule-"


@dataclass(frozen=True, slots=True)
class Slot:
    """One disk in an instant; ``since`` names the checkpoint from which its changes count, if any."""

    disk: Disk
    size_bytes: int
    export: str
    since: str


def checkpoint(name: str, slots: Sequence[Slot]) -> str:
    """Return the description of the record that begins at an instant."""
    root = ElementTree.Element("domaincheckpoint")
    ElementTree.SubElement(root, "name").text = name
    disks = ElementTree.SubElement(root, "disks")
    for slot in slots:
        ElementTree.SubElement(disks, "disk", name=slot.disk.target, checkpoint="bitmap")
    return ElementTree.tostring(root, encoding="unicode")


def backup(slots: Sequence[Slot], folder: Path) -> str:
    """Return the description of an instant, served from ``folder``; disks without a slot stay out of it."""
    root = ElementTree.Element("domainbackup", mode="pull")
    ElementTree.SubElement(root, "server", transport="unix", socket=str(socket_in(folder)))
    disks = ElementTree.SubElement(root, "disks")
    for slot in slots:
        words = {"name": slot.disk.target, "backup": "yes", "type": "file", "exportname": slot.export}
        if slot.since:
            words |= {"backupmode": "incremental", "incremental": slot.since, "exportbitmap": slot.export}
        else:
            words |= {"backupmode": "full"}
        disk = ElementTree.SubElement(disks, "disk", words)
        ElementTree.SubElement(disk, "scratch", file=str(folder / f"{slot.export}.scratch"))
    return ElementTree.tostring(root, encoding="unicode")


def is_of(description: str, names: str) -> bool:
    """Tell whether a backup that libvirt describes is the one whose exports' names begin so."""
    exports = [disk.get("exportname", "") for disk in ElementTree.fromstring(description).iter("disk")]
    return any(export.startswith(names) for export in exports)


def sizes(description: str) -> dict[str, int]:
    """Return how much the record of a checkpoint holds of each target; nothing where it is not whole."""
    disks = ElementTree.fromstring(description).iterfind("disks/disk[@size]")
    return {disk.get("name", ""): int(disk.get("size", "")) for disk in disks}


def socket_in(folder: Path) -> Path:
    """Return where QEMU serves what is frozen."""
    return folder / "nbd"
