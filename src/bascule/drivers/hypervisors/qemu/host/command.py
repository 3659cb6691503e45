"""What QEMU is told on its command line, computed from a machine's definition and what the host gives it.

QEMU's working folder is the machine's, and the names of its sockets and logs are those of ``MachineFolder``.
A disk keeps its name as device and as serial number, whatever place it has. Cards and disks have
fixed places on the bus, so that one more of them does not rename the others inside the guest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bascule.model.errors import Refused
from bascule.model.machines import (
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

QEMU = "qemu-system-x86_64"
NICS_MAX = 10
CPUS_MAX = 255  # of a q35 without an interrupt controller of its own kind
_FIRST_NIC, _FIRST_DISK, _SLOTS_END, _FUNCTIONS = 0x3, 0xD, 0x1F, 8
_LOOSE = "a-card-whose-cable-hangs-loose-{}"  # longer than what a disk can be called
DISKS_MAX = (_SLOTS_END - _FIRST_DISK) * _FUNCTIONS

# What a server that is away costs the guest: it waits so long for its disk, then it stands still until
# somebody starts it again (``Hypervisor.start``).
_RECONNECT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class FirmwareFiles:
    """A UEFI firmware, and where this machine keeps its variables."""

    code: str
    variables: str


@dataclass(frozen=True, slots=True)
class Means:
    """What the host gives a machine: an accelerator, a plug for each card, images to read past its cache."""

    accelerator: str
    plugs: Mapping[str, str]
    direct: frozenset[str] = frozenset()
    uefi: FirmwareFiles | None = None


def check_places(definition: MachineDefinition) -> None:
    """Refuse what has no place on the bus, and exports that QEMU cannot be told."""
    if len(definition.disks) > DISKS_MAX or len(definition.hardware.nics) > NICS_MAX:
        raise Refused(
            f"{definition.name} has too many disks or network cards for this host",
            cure=f"at most {DISKS_MAX} disks and {NICS_MAX} cards",
        )
    for disk in definition.disks:
        if disk.is_served:
            _export(disk)


def loose_cards(hardware: Hardware) -> list[str]:
    """Return the cards whose cables have to be pulled: without one QEMU shows the guest a link."""
    return [_LOOSE.format(place) for place, nic in enumerate(hardware.nics) if not nic.network]


def command_line(definition: MachineDefinition, means: Means) -> list[str]:
    """Return the words that QEMU is started with."""
    hardware = definition.hardware
    words = [QEMU, "-name", definition.name, "-uuid", hardware.uuid or uuid_of(definition.name)]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-rtc", "base=utc", "-pidfile", "pid"]
    words += _board(hardware, means)
    words += ["-chardev", "file,id=console,path=console.log", "-serial", "chardev:console"]
    words += [*_device("VGA", addr="0x1"), *_device("virtio-rng-pci", addr="0x2.0", multifunction=True)]
    words += _agent()
    for place, nic in enumerate(hardware.nics):
        words += _card(definition.name, place, nic, means)
    for place, disk in enumerate(definition.disks):
        words += _disk(place, disk, disk.words in means.direct)
    words += _boot(hardware)
    # A monitor serves one client. The last one listens when all do.
    for monitor in ("watch", "replicate", "power"):
        words += ["-qmp", f"unix:{monitor}.qmp,server=on,wait=off"]
    return words


def _board(hardware: Hardware, means: Means) -> Iterator[str]:
    machine = f"q35,accel={means.accelerator}"
    if hardware.firmware is Firmware.UEFI and means.uefi is not None:
        for node, path, is_kept in (
            ("code", means.uefi.code, True),
            ("variables", means.uefi.variables, False),
        ):
            file = {"driver": "file", "filename": path}
            yield from _node(driver="raw", node_name=node, read_only=is_kept, file=file)
        machine += ",pflash0=code,pflash1=variables"
    yield from ("-machine", machine, "-cpu", "host" if means.accelerator == "kvm" else "max")
    yield from ("-smp", str(hardware.cpus), "-m", f"{hardware.memory_mib}M")


def _agent() -> Iterator[str]:
    """Lay the channel by which QEMU's agent in the guest is asked to freeze file systems, if it is there."""
    yield from _device("virtio-serial-pci", addr="0x2.1")
    yield from ("-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off")
    yield from _device("virtserialport", chardev="agent", name="org.qemu.guest_agent.0")


def _card(machine: str, place: int, nic: Nic, means: Means) -> Iterator[str]:
    mac = nic.mac or mac_of(machine, nic.id)
    address = f"{_FIRST_NIC + place:#x}"
    plug = means.plugs.get(nic.id, "")
    # No boot from the network: the ROM for it would cost every start half a second.
    plugged = {"netdev": f"net{place}"} if plug else {"id": _LOOSE.format(place)}
    if plug:
        yield from ("-netdev", f"{plug},id=net{place}")
    yield from _device("virtio-net-pci", mac=mac, addr=address, romfile="", **plugged)


def _disk(place: int, disk: DiskPlace, is_direct: bool) -> Iterator[str]:
    node = f"disk{place}"
    device: dict[str, object] = {
        "id": disk.id,
        "drive": node,
        "serial": serial_of(disk.id),
        "bootindex": 1 + place,  # a kernel that the host hands over has 0
    }
    if disk.is_served:
        yield from _node(node_name=node, discard="unmap", reconnect_delay=_RECONNECT_SECONDS, **_export(disk))
        device |= {"werror": "stop", "rerror": "stop"}
    else:
        cache = {"direct": is_direct}
        file = {"driver": "file", "filename": disk.words, "discard": "unmap", "cache": cache}
        yield from _node(driver=disk.format, node_name=node, discard="unmap", cache=cache, file=file)
    slot, function = divmod(place, _FUNCTIONS)
    device["addr"] = f"{_FIRST_DISK + slot:#x}.{function}"
    if function == 0:
        device["multifunction"] = True
    yield from _device("virtio-blk-pci", **device)


def _export(disk: DiskPlace) -> dict[str, object]:
    address = Address.parse(disk.words)
    if address.tls:
        raise Refused(f"disk {disk.id}: {disk.words} asks for TLS, which machines of this host do not speak")
    server: dict[str, object] = {"type": "inet", "host": address.host, "port": str(address.port)}
    if address.path:
        server = {"type": "unix", "path": address.path}
    return {"driver": "nbd", "server": server, "export": address.export}


def _boot(hardware: Hardware) -> Iterator[str]:
    if hardware.boot is None:
        return
    yield from ("-kernel", hardware.boot.kernel)
    if hardware.boot.initrd:
        yield from ("-initrd", hardware.boot.initrd)
    if hardware.boot.command_line:
        yield from ("-append", hardware.boot.command_line)


def _node(**options: object) -> list[str]:
    return ["-blockdev", _json(options)]


def _device(driver: str, **options: object) -> list[str]:
    return ["-device", _json({"driver": driver, **options})]


def _json(options: Mapping[str, object]) -> str:
    """Spell options so that no path can be mistaken for one; ``_`` in names stands for ``-``."""
    return json.dumps({name.replace("_", "-"): value for name, value in options.items()})
