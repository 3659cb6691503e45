"""What libvirt is told of a machine, computed from its definition.

A disk and a network card keep their names as user aliases, so that a definition can be read back from a
domain, also after somebody edited that. A domain of ours says so in its metadata: only such a one is replaced
whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

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

from ...identity import serial_of
from ..domains import alias
from .leases import NAMESPACE, Lease, note

USER_NETWORK = "user"
DISKS_MAX = 26

# What a server that is away costs the guest: it waits so long for its disk, then it stands still until
# somebody starts it again.
_RECONNECT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Means:
    """What the host gives a machine: libvirt's type of domain, where its console is written to, addresses."""

    kind: str
    console: str
    leases: tuple[Lease, ...] = ()


def domain(definition: MachineDefinition, means: Means) -> str:
    """Return libvirt's description of a machine."""
    if len(definition.disks) > DISKS_MAX:
        raise Refused(
            f"{definition.name} has too many disks for this host", cure=f"{DISKS_MAX} disks at most"
        )
    ElementTree.register_namespace("bascule", NAMESPACE)
    root = Element("domain", type=means.kind)
    hardware = definition.hardware
    _text(root, "name", definition.name)
    _text(root, "uuid", hardware.uuid or uuid_of(definition.name))
    _sign(root, definition, means)
    _text(root, "memory", str(hardware.memory_mib), unit="MiB")
    _text(root, "vcpu", str(hardware.cpus))
    _system(root, hardware)
    features = SubElement(root, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    SubElement(root, "cpu", mode="host-passthrough" if means.kind == "kvm" else "maximum")
    devices = SubElement(root, "devices")
    serial = SubElement(devices, "serial", type="file")
    SubElement(serial, "source", path=means.console, append="off")
    for place, disk in enumerate(definition.disks):
        _disk(devices, place, disk)
    for nic in hardware.nics:
        _card(devices, definition.name, nic)
    # By which the guest is asked to freeze its file systems, if QEMU's agent is in it.
    channel = SubElement(devices, "channel", type="unix")
    SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    SubElement(SubElement(devices, "video"), "model", type="vga")
    SubElement(devices, "memballoon", model="none")
    _text(SubElement(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    return ElementTree.tostring(root, encoding="unicode")


def _sign(root: Element, definition: MachineDefinition, means: Means) -> None:
    """Say that a domain is ours, what its cards get, and how places were spelled: libvirt rewrites them."""
    ours = SubElement(SubElement(root, "metadata"), f"{{{NAMESPACE}}}ours")
    note(ours, means.leases)
    for disk in definition.disks:
        if disk.is_served:
            SubElement(ours, f"{{{NAMESPACE}}}served", id=disk.id, words=disk.words)


def _text(parent: Element, name: str, content: str, **attributes: str) -> Element:
    element = SubElement(parent, name, attributes)
    element.text = content
    return element


def _system(root: Element, hardware: Hardware) -> None:
    system = SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    if hardware.firmware is Firmware.UEFI:
        system.set("firmware", "efi")
        SubElement(SubElement(system, "firmware"), "feature", enabled="no", name="secure-boot")
    boot = hardware.boot or DirectBoot("")
    for name, content in (("kernel", boot.kernel), ("initrd", boot.initrd), ("cmdline", boot.command_line)):
        if content:
            _text(system, name, content)


def _disk(devices: Element, place: int, disk: DiskPlace) -> None:
    element = SubElement(devices, "disk", device="disk")
    SubElement(element, "driver", name="qemu", discard="unmap", error_policy="stop", rerror_policy="stop")
    fill(element, disk)
    SubElement(element, "target", dev=f"vd{chr(ord('a') + place)}", bus="virtio")
    _text(element, "serial", serial_of(disk.id))
    SubElement(element, "boot", order=str(1 + place))
    SubElement(element, "alias", name=alias(disk.id))


def fill(element: Element, disk: DiskPlace) -> None:
    """Say in the description of a disk where its image is."""
    if (before := element.find("source")) is not None:
        element.remove(before)
    driver = element.find("driver")
    (SubElement(element, "driver", name="qemu") if driver is None else driver).set("type", disk.format)
    if not disk.is_served:
        is_device = disk.words.startswith("/dev/")
        element.set("type", "block" if is_device else "file")
        SubElement(element, "source", {"dev" if is_device else "file": disk.words})
        return
    address = Address.parse(disk.words)
    if address.tls:
        raise Refused(f"disk {disk.id}: {disk.words} asks for TLS, which machines of this host do not speak")
    element.set("type", "network")
    source = SubElement(element, "source", protocol="nbd", name=address.export)
    if address.path:
        SubElement(source, "host", transport="unix", socket=address.path)
    else:
        SubElement(source, "host", name=address.host, port=str(address.port))
    SubElement(source, "reconnect", delay=str(_RECONNECT_SECONDS))


def _card(devices: Element, machine: str, nic: Nic) -> None:
    is_user = nic.network in ("", USER_NETWORK)
    element = SubElement(devices, "interface", type="user" if is_user else "network")
    if not is_user:
        SubElement(element, "source", network=nic.network)
    SubElement(element, "mac", address=nic.mac or mac_of(machine, nic.id))
    SubElement(element, "model", type="virtio")
    SubElement(element, "rom", enabled="no")
    if not nic.network:
        SubElement(element, "link", state="down")
    SubElement(element, "alias", name=alias(nic.id))
