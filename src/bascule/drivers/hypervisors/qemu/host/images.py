"""Images of machines as files: looked for before a start, and read past the host's cache where that can be.

Past the cache, because what a guest writes and the host still holds is written out by QEMU when a disk is
frozen, with the guest standing still: after 64 MiB a flush took 3 to 9 ms, and 44 to 88 ms through the
cache; the writes themselves took a third of the time. And guests cache what they read themselves.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from bascule.model.errors import Refused
from bascule.model.machines import DiskPlace, Firmware, MachineDefinition

from .command import FirmwareFiles
from .folder import MachineFolder

_HEAD = ">4sIQI"  # magic, version, where the backing file's name is, how long it is
_MAGIC = b"QFI\xfb"
_UEFI_MIB_MIN = 256  # seen: with 128 it faults before it starts anything
_SHARE = Path("/usr/share")
FIRMWARES = tuple(
    (_SHARE / code, _SHARE / variables)
    for code, variables in (
        ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
        ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
        ("edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
        ("qemu/ovmf-x86_64-code.bin", "qemu/ovmf-x86_64-vars.bin"),
    )
)


def check_images(definition: MachineDefinition) -> None:
    """Refuse a machine with a disk, a kernel or a firmware that is not there."""
    for disk in definition.disks:
        if not disk.is_served and not Path(disk.words).exists():
            raise Refused(f"{definition.name}: no disk is at {disk.words} for {disk.id}")
        if not disk.is_served and not Path(disk.words).is_absolute():
            raise Refused(f"{definition.name}: {disk.words} is no whole path", cure="begin it with a /")
    boot = definition.hardware.boot
    for path in (boot.kernel, boot.initrd) if boot else ():
        if path and not Path(path).is_file():
            raise Refused(f"{definition.name}: no kernel or initial file system is at {path}")
    if definition.hardware.firmware is Firmware.UEFI:
        _firmware(definition.name)
        if definition.hardware.memory_mib < _UEFI_MIB_MIN:
            raise Refused(
                f"{definition.name}: UEFI does not start with {definition.hardware.memory_mib} MiB of memory",
                cure=f"give it at least {_UEFI_MIB_MIN} MiB",
            )


def _firmware(name: str) -> tuple[Path, Path]:
    for code, variables in FIRMWARES:
        if code.exists() and variables.exists():
            return code, variables
    raise Refused(f"{name} needs UEFI, and this host has no such firmware", cure="install the package ovmf")


def uefi_of(folder: MachineFolder, definition: MachineDefinition) -> FirmwareFiles | None:
    """Return the firmware of a machine that needs UEFI, with variables of its own."""
    if definition.hardware.firmware is not Firmware.UEFI:
        return None
    code, template = _firmware(definition.name)
    variables = folder.path / "variables.fd"
    if not variables.exists():
        aside = variables.with_suffix(".new")
        aside.write_bytes(template.read_bytes())
        aside.rename(variables)
    return FirmwareFiles(str(code), str(variables))


def past_the_cache(disks: tuple[DiskPlace, ...]) -> frozenset[str]:
    """Return which images can be read and written past the host's cache, with all that is behind them."""
    return frozenset(
        disk.words
        for disk in disks
        if not disk.is_served and all(_is_direct(image) for image in _chain(Path(disk.words), disk.format))
    )


def _is_direct(image: Path) -> bool:
    try:
        os.close(os.open(image, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False  # tmpfs, for one; if it cannot be opened at all, QEMU says so
    return True


def _chain(image: Path, form: str) -> Iterator[Path]:
    """Yield an image and the files behind it, for QEMU opens those in the same way."""
    seen: set[Path] = set()
    while image not in seen:
        seen.add(image)
        yield image
        behind = _behind(image) if form == "qcow2" else ""
        if not behind or ":" in behind:
            return
        image = image.parent / behind


def _behind(image: Path) -> str:
    """Return the name of the backing file that a qcow2's header has, empty if none."""
    try:
        with open(image, "rb") as stream:
            magic, _, offset, length = struct.unpack(_HEAD, stream.read(struct.calcsize(_HEAD)))
            stream.seek(offset)
            return stream.read(length).decode() if magic == _MAGIC and offset else ""
    except (OSError, struct.error, UnicodeDecodeError):
        return ""
