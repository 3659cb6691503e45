"""What libvirt's description of a running machine says of its disks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from bascule.model.errors import Refused

_OURS = "ua-"  # libvirt leaves aliases alone that begin so
_ODD = re.compile(r"[^A-Za-z0-9-]")
_QUOTED = re.compile(r"_([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that a guest may write to: ``target`` is what libvirt calls it."""

    id: str
    target: str
    format: str
    is_shared: bool
    has_iothread: bool
    policy: str

    @property
    def is_recorded(self) -> bool:
        """Can libvirt record what changes on it? In qcow2 images only."""
        return self.format == "qcow2"


def alias(part: str) -> str:
    """Return the alias that keeps the name of a disk or a network card in a domain."""
    return _OURS + _ODD.sub(lambda odd: f"_{ord(odd[0]):02x}", part)


def part(element: ElementTree.Element, otherwise: str) -> str:
    """Return the name that an alias keeps, or another one where the alias is not ours."""
    found = element.find("alias")
    name = "" if found is None else found.get("name", "")
    if not name.startswith(_OURS):
        return otherwise
    return _QUOTED.sub(lambda quoted: chr(int(quoted[1], 16)), name.removeprefix(_OURS))


def disks_of(description: str) -> list[Disk]:
    """Return the disks that a guest may write to, in the order libvirt has them."""
    domain = ElementTree.fromstring(description)
    threaded = set(_controllers_with_iothread(domain))
    found = [_disk(disk, threaded) for disk in domain.iterfind("devices/disk") if _is_written(disk)]
    if not found:
        raise Refused("this machine has no disk that it may write to", cure="there is nothing to replicate")
    return found


def _is_written(disk: ElementTree.Element) -> bool:
    return disk.get("device", "disk") in ("disk", "lun") and disk.find("readonly") is None


def _disk(disk: ElementTree.Element, threaded: set[str]) -> Disk:
    target, driver, address = (_attributes(disk, name) for name in ("target", "driver", "address"))
    is_threaded = "iothread" in driver or disk.find("driver/iothreads") is not None
    return Disk(
        id=part(disk, target.get("dev", "")),
        target=target.get("dev", ""),
        format=driver.get("type", "raw"),
        is_shared=disk.find("shareable") is not None,
        has_iothread=is_threaded
        or (target.get("bus") == "scsi" and address.get("controller", "0") in threaded),
        policy=driver.get("error_policy", ""),
    )


def _attributes(element: ElementTree.Element, name: str) -> dict[str, str]:
    found = element.find(name)
    return {} if found is None else found.attrib


def _controllers_with_iothread(domain: ElementTree.Element) -> Iterator[str]:
    for controller in domain.iterfind("devices/controller[@type='scsi']"):
        if "iothread" in _attributes(controller, "driver"):
            yield controller.get("index", "0")


def refuse_unfit(name: str, disk: Disk) -> None:
    """Say why a disk cannot be frozen by libvirt, if it cannot, and what to do."""
    if disk.is_shared:
        raise Refused(
            f"{name}: disk {disk.id} is shared, and what another machine writes to it is not recorded",
            cure="replicate it from inside the machines",
        )
    if disk.policy in ("report", "ignore"):
        raise Refused(
            f"{name}: disk {disk.id} has error_policy {disk.policy}: its guest would be told of a lack of"
            " room for what is copied",
            cure="take error_policy= from this disk, and start the machine again",
        )


def owner_of(description: str) -> tuple[int, int] | None:
    """Return user and group that a running machine's QEMU has, if libvirt tells."""
    domain = ElementTree.fromstring(description)
    found = domain.findtext("seclabel[@model='dac']/label", "")
    match = re.fullmatch(r"\+(\d+):\+(\d+)", found)
    return (int(match[1]), int(match[2])) if match else None
