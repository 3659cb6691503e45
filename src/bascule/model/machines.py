"""What a machine is: its hardware, its disks and its places in networks, and how that is written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from .errors import Damaged

_VERSION = 1


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
    """A network card: ``network`` is a name that the host knows; empty is a cable that hangs loose."""

    id: str
    network: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class DirectBoot:
    """A kernel that the host hands to the machine, in place of one on its disks. Paths of the host."""

    kernel: str
    initrd: str = ""
    command_line: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine has besides disks."""

    cpus: int = 1
    memory_mib: int = 1024
    firmware: Firmware = Firmware.BIOS
    nics: tuple[Nic, ...] = ()
    boot: DirectBoot | None = None


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """A disk and where its image is: a path, or the address of an NBD export (its format is raw then).

    ``id`` is the name by which the disk is replicated; it stays when the place changes.
    """

    id: str
    words: str
    format: str = "qcow2"


@dataclass(frozen=True, slots=True)
class MachineDefinition:
    """All that a host needs to run a machine. The first disk is the one it boots from."""

    name: str
    hardware: Hardware
    disks: tuple[DiskPlace, ...]


def written(definition: MachineDefinition) -> str:
    """Return a definition as JSON."""
    return json.dumps({"version": _VERSION, **asdict(definition)}, sort_keys=True, indent=1)


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
    return Hardware(fields["cpus"], fields["memory_mib"], Firmware(fields["firmware"]), nics, boot)
