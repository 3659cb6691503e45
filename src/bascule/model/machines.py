"""What a machine is: its hardware, its disks and its places in networks, and how that is written down."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, ip_interface
from typing import Any

from .errors import Damaged, Refused

FORMATS = ("qcow2", "raw")
_VERSION = 1
_MEMORY_MIB_MIN = 16
_PREFIX_MIN, _PREFIX_MAX = 8, 28
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,63}")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MACHINES = bytes.fromhex("6a1c8f4e3f0b5d279b1e0c7d52a9e4f3")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


class Power(StrEnum):
    """Whether a machine runs. ``PAUSED`` has memory and gets no time."""

    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"


class Firmware(StrEnum):
    """What a machine starts with."""

    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card: ``network`` is a name that the host knows; empty is a cable that hangs loose.

    Without ``mac`` the host takes an address that is always the same for this card of this machine. With
    ``address``, IPv4 and its prefix length, the host hands it to the guest that asks for a lease.
    """

    id: str
    network: str
    mac: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class DirectBoot:
    """A kernel that the host hands to the machine, in place of one on its disks. Paths of the host."""

    kernel: str
    initrd: str = ""
    command_line: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine has besides disks.

    Without ``uuid``, by which a guest knows its machine, the host takes one that is always the same for the
    machine's name.
    """

    cpus: int = 1
    memory_mib: int = 1024
    firmware: Firmware = Firmware.BIOS
    nics: tuple[Nic, ...] = ()
    boot: DirectBoot | None = None
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """A disk and where its image is: a path, or the address of an NBD export (its format is raw then).

    ``id`` is the name by which the disk is replicated; it stays when the place changes.
    """

    id: str
    words: str
    format: str = "qcow2"

    @property
    def is_served(self) -> bool:
        """Return whether the words are the address of an NBD export, and no path."""
        return self.words.startswith(("nbd:", "nbds:", "nbd+unix:", "nbds+unix:"))


@dataclass(frozen=True, slots=True)
class MachineDefinition:
    """All that a host needs to run a machine. The first disk is the one it boots from."""

    name: str
    hardware: Hardware
    disks: tuple[DiskPlace, ...]


def mac_of(machine: str, nic: str) -> str:
    """Return the address of a card that was given none: always the same for this card of this machine."""
    tail = hashlib.sha256(f"{machine}/{nic}".encode()).hexdigest()[:6]
    return ":".join(("52", "54", "00", tail[:2], tail[2:4], tail[4:]))


def uuid_of(machine: str) -> str:
    """Return the number by which the guest of a machine that was given none knows it: a UUID of version 5."""
    number = bytearray(hashlib.sha1(_MACHINES + machine.encode(), usedforsecurity=False).digest()[:16])
    number[6] = number[6] & 0x0F | 0x50
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def check(definition: MachineDefinition) -> MachineDefinition:
    """Return a definition that any host could understand, or raise Refused with what is wrong with it."""
    name, hardware = definition.name, definition.hardware
    if not _MACHINE.fullmatch(name):
        raise Refused(
            f"a machine cannot be called {name!r}",
            cure="up to 64 letters, digits, and _ . ~ - after the first",
        )
    _check_parts(name, "disk", [disk.id for disk in definition.disks])
    _check_parts(name, "network card", [nic.id for nic in hardware.nics])
    if hardware.cpus < 1 or hardware.memory_mib < _MEMORY_MIB_MIN:
        raise Refused(
            f"{name}: {hardware.cpus} processors and {hardware.memory_mib} MiB of memory are no machine",
            cure=f"at least 1 processor and {_MEMORY_MIB_MIN} MiB",
        )
    for disk in definition.disks:
        if disk.format not in FORMATS or (disk.is_served and disk.format != "raw"):
            raise Refused(
                f"{name}: disk {disk.id} at {disk.words} cannot be of format {disk.format!r}",
                cure=f"{' or '.join(FORMATS)}, and raw for an NBD export",
            )
    _check_numbers(name, hardware)
    for nic in hardware.nics:
        if nic.address:
            _check_address(name, nic)
    return definition


def _check_numbers(name: str, hardware: Hardware) -> None:
    if hardware.uuid and not _UUID.fullmatch(hardware.uuid):
        raise Refused(
            f"{name}: {hardware.uuid!r} is no number of a machine",
            cure="write it as the guest shows it: 8-4-4-4-12 small hexadecimal digits",
        )
    if wrong := [nic.mac for nic in hardware.nics if nic.mac and not _MAC.fullmatch(nic.mac)]:
        raise Refused(
            f"{name}: {wrong[0]!r} is no address of a network card",
            cure="six pairs of small hexadecimal digits with colons between, the first one even",
        )


def _check_address(name: str, nic: Nic) -> None:
    try:
        wanted = ip_interface(nic.address)
    except ValueError:
        wanted = None
    if (
        not isinstance(wanted, IPv4Interface)
        or not _PREFIX_MIN <= wanted.network.prefixlen <= _PREFIX_MAX
        or wanted.ip in (wanted.network.network_address, wanted.network.broadcast_address)
    ):
        raise Refused(
            f"{name}: {nic.address!r} is no address for the guest at card {nic.id}",
            cure=f"write IPv4 and a prefix length from {_PREFIX_MIN} to {_PREFIX_MAX}: 10.1.2.9/24",
        )


def _check_parts(name: str, kind: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for found in ids:
        if not _PART.fullmatch(found) or found in seen:
            raise Refused(
                f"{name}: a {kind} cannot be called {found!r}" + (" twice" if found in seen else ""),
                cure="a letter, then up to 31 letters, digits and _ . -; each name once",
            )
        seen.add(found)


def written(definition: MachineDefinition) -> str:
    """Return a definition as JSON."""
    fields = {"version": _VERSION, **asdict(definition)}
    for nic in fields["hardware"]["nics"]:
        if not nic["address"]:
            del nic["address"]  # a Bascule from before it was known still reads what has none
    if not fields["hardware"]["uuid"]:
        del fields["hardware"]["uuid"]
    return json.dumps(fields, sort_keys=True, indent=1)


def read(text: str | bytes) -> MachineDefinition:
    """Return the definition that ``written`` wrote, or raise Damaged."""
    try:
        fields: Any = json.loads(text)
        if fields["version"] != _VERSION:
            raise Damaged(f"a machine's definition is of version {fields['version']}, not {_VERSION}")
        disks = tuple(DiskPlace(**disk) for disk in fields["disks"])
        return MachineDefinition(fields["name"], _hardware(fields["hardware"]), disks)
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"a machine's definition cannot be read: {error!r}") from error


def _hardware(fields: dict[str, Any]) -> Hardware:
    nics = tuple(Nic(**nic) for nic in fields["nics"])
    boot = DirectBoot(**fields["boot"]) if fields["boot"] else None
    firmware, uuid = Firmware(fields["firmware"]), fields.get("uuid", "")
    return Hardware(fields["cpus"], fields["memory_mib"], firmware, nics, boot, uuid)
