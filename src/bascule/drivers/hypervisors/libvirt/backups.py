"""The names of an instant and the XML by which libvirt is asked for it, and tells of it.

QEMU serves an instant (libvirt's mode ``pull``), or copies it into images of ours (``push``). That takes the
room of what is copied, and is for machines with a disk that an iothread serves: QEMU ends when one who
reads the export of such a disk goes away.
"""

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


def is_pushed(slots: Sequence[Slot]) -> bool:
    """Tell whether an instant has to be copied, for none may read it where it is."""
    return any(slot.disk.has_iothread for slot in slots)


def checkpoint(name: str, slots: Sequence[Slot]) -> str | None:
    """Return the description of the record that begins at an instant; None if no disk can have one."""
    if not any(slot.disk.is_recorded for slot in slots):
        return None
    root = ElementTree.Element("domaincheckpoint")
    ElementTree.SubElement(root, "name").text = name
    disks = ElementTree.SubElement(root, "disks")
    for slot in slots:
        ElementTree.SubElement(disks, "disk", name=slot.disk.target, checkpoint=_record(slot))
    return ElementTree.tostring(root, encoding="unicode")


def _record(slot: Slot) -> str:
    return "bitmap" if slot.disk.is_recorded else "no"


def backup(slots: Sequence[Slot], folder: Path) -> str:
    """Return the description of an instant, served or copied in ``folder``; others' disks stay out of it."""
    is_copied = is_pushed(slots)
    root = ElementTree.Element("domainbackup", mode="push" if is_copied else "pull")
    if not is_copied:
        ElementTree.SubElement(root, "server", transport="unix", socket=str(socket_in(folder)))
    disks = ElementTree.SubElement(root, "disks")
    for slot in slots:
        words = {"name": slot.disk.target, "backup": "yes", "type": "file"}
        words |= {"backupmode": "incremental", "incremental": slot.since} if slot.since else {}
        words |= {} if is_copied else {"exportname": slot.export}
        words |= {"exportbitmap": slot.export} if slot.since and not is_copied else {}
        disk = ElementTree.SubElement(disks, "disk", words)
        if is_copied:
            ElementTree.SubElement(disk, "driver", type="qcow2")
        place = "target" if is_copied else "scratch"
        ElementTree.SubElement(disk, place, file=str(scratch_in(folder, slot)))
    return ElementTree.tostring(root, encoding="unicode")


def scratch_in(folder: Path, slot: Slot) -> Path:
    """Return where what a disk was at the instant is kept."""
    return folder / f"{slot.export}.scratch"


def is_of(description: str, names: str) -> bool:
    """Tell whether a backup that libvirt describes is the one whose files' names begin so."""
    root = ElementTree.fromstring(description)
    files = [*root.iterfind("disks/disk/scratch"), *root.iterfind("disks/disk/target")]
    return any(Path(file.get("file", "")).name.startswith(names) for file in files)


def sizes(description: str) -> dict[str, int]:
    """Return how much the record of a checkpoint holds of each target; nothing where it is not whole."""
    disks = ElementTree.fromstring(description).iterfind("disks/disk[@size]")
    return {disk.get("name", ""): int(disk.get("size", "")) for disk in disks}


def unknown_to_libvirt(name: str, disks: Sequence[Disk], domain: str) -> str:
    """Return the description of a checkpoint that QEMU began and libvirt never knew, as if it had."""
    root = ElementTree.Element("domaincheckpoint")
    ElementTree.SubElement(root, "name").text = name
    ElementTree.SubElement(root, "creationTime").text = "1"
    kept = ElementTree.SubElement(root, "disks")
    for disk in disks:
        ElementTree.SubElement(kept, "disk", name=disk.target, checkpoint="bitmap", bitmap=name)
    root.append(ElementTree.fromstring(domain))
    return ElementTree.tostring(root, encoding="unicode")


def of_whole_records(description: str) -> str:
    """Return the description of a checkpoint without the disks that have no whole record of it."""
    root = ElementTree.fromstring(description)
    for disk in root.iterfind("disks/disk"):
        if disk.attrib.pop("size", None) is None:
            disk.attrib.pop("bitmap", None)
            disk.set("checkpoint", "no")
    return ElementTree.tostring(root, encoding="unicode")


def socket_in(folder: Path) -> Path:
    """Return where QEMU serves what is frozen."""
    return folder / "nbd"
