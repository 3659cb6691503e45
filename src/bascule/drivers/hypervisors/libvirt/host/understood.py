"""A machine's definition, read from libvirt's description of a domain: one of ours or somebody else's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

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
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.protocol.constants import DEFAULT_PORT

from ..domains import part
from .described import USER_NETWORK, fill
from .leases import NAMESPACE, Lease, noted

_TO_MIB = {"b": 1 / (1 << 20), "KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2}


def definition_of(description: str) -> MachineDefinition:
    """Return what a domain is made of, or say what of it has no name here."""
    root = ElementTree.fromstring(description)
    name = root.findtext("name", "")
    spelled = {
        served.get("id", ""): served.get("words", "") for served in root.iter(f"{{{NAMESPACE}}}served")
    }
    disks = tuple(_spelled(_place(name, disk), spelled) for disk in _disks(root))
    leases = noted(root)
    cards = enumerate(root.iterfind("devices/interface"))
    nics = tuple(_leased(_card(name, place, card), leases) for place, card in cards)
    memory = root.find("memory")
    hardware = Hardware(
        cpus=int(root.findtext("vcpu", "1")),
        memory_mib=0 if memory is None else int(int(memory.text or "0") * _TO_MIB[memory.get("unit", "KiB")]),
        firmware=_firmware(root),
        nics=nics,
        boot=_boot(root),
        uuid="" if (number := root.findtext("uuid", "")) == uuid_of(name) else number,
    )
    return MachineDefinition(name, hardware, disks)


def is_ours(description: str) -> bool:
    """Tell whether a domain was defined by us."""
    return ElementTree.fromstring(description).find(f"metadata/{{{NAMESPACE}}}ours") is not None


def console_in(description: str) -> str:
    """Return the path to which a domain's first serial console is written, empty if to none."""
    source = ElementTree.fromstring(description).find("devices/serial[@type='file']/source")
    return "" if source is None else source.get("path", "")


def files_of(description: str) -> set[str]:
    """Return the paths of a domain's images."""
    sources = ElementTree.fromstring(description).iterfind("devices/disk/source")
    return {_path(source) for source in sources}


def with_disks_elsewhere(description: str, definition: MachineDefinition) -> str:
    """Return the description of somebody else's domain with its disks at other places.

    Refused if the definition asks for anything else: what a domain has besides is not ours to replace.
    """
    known = definition_of(description)
    if [disk.id for disk in known.disks] != [disk.id for disk in definition.disks] or definition != replace(
        known, disks=definition.disks
    ):
        raise Refused(
            f"{definition.name} is a domain of somebody else: only the places of its disks can be changed",
            cure="change it with virsh edit, or choose another name",
        )
    root = ElementTree.fromstring(description)
    for element, disk in zip(_disks(root), definition.disks, strict=True):
        fill(element, disk)
    return ElementTree.tostring(root, encoding="unicode")


def _disks(root: Element) -> Iterator[Element]:
    return (disk for disk in root.iterfind("devices/disk") if disk.get("device", "disk") in ("disk", "lun"))


def _place(machine: str, disk: Element) -> DiskPlace:
    target, driver, source = (disk.find(name) for name in ("target", "driver", "source"))
    name = part(disk, "" if target is None else target.get("dev", ""))
    form = "raw" if driver is None else driver.get("type", "raw")
    if source is not None and disk.get("type") in ("file", "block"):
        return DiskPlace(name, _path(source), form)
    if source is not None and source.get("protocol") == "nbd":
        return DiskPlace(name, str(_address(source)), form)
    raise Refused(
        f"{machine}: disk {name} is of libvirt's kind {disk.get('type', '')}, which has no name here",
        cure="describe it as a file, a block device or an NBD export",
    )


def _spelled(place: DiskPlace, spelled: Mapping[str, str]) -> DiskPlace:
    """Spell an address as it was spelled when we were told of it, if it is still that address."""
    words = spelled.get(place.id, "")
    is_same = bool(words) and place.is_served and str(Address.parse(words)) == place.words
    return replace(place, words=words) if is_same else place


def _path(source: Element) -> str:
    return source.get("file", source.get("dev", ""))


def _address(source: Element) -> Address:
    host = source.find("host")
    where = {} if host is None else host.attrib
    export = source.get("name", "")
    if where.get("transport") == "unix":
        return Address(path=where.get("socket", ""), export=export)
    return Address(where.get("name", ""), int(where.get("port", DEFAULT_PORT)), "", export)


def _card(machine: str, place: int, card: Element) -> Nic:
    name = part(card, f"net{place}")
    mac, link, source = (card.find(word) for word in ("mac", "link", "source"))
    address = "" if mac is None else mac.get("address", "")
    network = USER_NETWORK if source is None else source.get("network", source.get("bridge", ""))
    if link is not None and link.get("state") == "down":
        network = ""
    return Nic(name, network, "" if address == mac_of(machine, name) else address)


def _leased(nic: Nic, leases: Iterable[Lease]) -> Nic:
    """Return a card with the address that it is to get, if it is still where it was to get that."""
    found = (lease.address for lease in leases if (lease.card, lease.network) == (nic.id, nic.network))
    return replace(nic, address=next(found, ""))


def leases_of(description: str) -> list[Lease]:
    """Return the addresses that the cards of a domain are to get, none of an empty description."""
    return noted(ElementTree.fromstring(description)) if description else []


def _firmware(root: Element) -> Firmware:
    system, loader = root.find("os"), root.find("os/loader")
    is_uefi = system is not None and system.get("firmware") == "efi"
    is_uefi = is_uefi or (loader is not None and loader.get("type") == "pflash")
    return Firmware.UEFI if is_uefi else Firmware.BIOS


def _boot(root: Element) -> DirectBoot | None:
    kernel = root.findtext("os/kernel", "")
    if not kernel:
        return None
    return DirectBoot(kernel, root.findtext("os/initrd", ""), root.findtext("os/cmdline", ""))
