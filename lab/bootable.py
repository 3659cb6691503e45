"""Disks that a machine boots from by its BIOS: a boot sector, a FAT with boot loader and kernel, and room.

Made without root and without mounting anything.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .filesystems import tool
from .guests import ROOT

MIB = 1 << 20
_SECTOR = 512
_FIRST = 2048  # sectors before the first partition
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_FAT_BY_BLOCKS, _LINUX, _ACTIVE, _NO_CYLINDER = 0x0E, 0x83, 0x80, b"\xfe\xff\xff"


def make(target: Path, files: Mapping[str, Path], *, boot_mib: int, room: Path | None = None) -> None:
    """Make a raw disk whose first partition holds the files, and the second what ``room`` holds.

    The boot loader starts the files ``vmlinuz`` and ``initrd``, once ``tell`` has said with which words.
    """
    if not _MBR.exists():
        subprocess.run([ROOT / "scripts/setup", "system"], check=True)
    boot = boot_mib * MIB // _SECTOR
    rest = room.stat().st_size // _SECTOR if room else 0
    partitions = _partition(_FAT_BY_BLOCKS, _FIRST, boot, active=_ACTIVE)
    partitions += _partition(_LINUX, _FIRST + boot, rest) if rest else b""
    with target.open("wb") as disk:
        disk.truncate((_FIRST + boot + rest) * _SECTOR)
        disk.write(_MBR.read_bytes()[:440].ljust(446, b"\0") + partitions.ljust(64, b"\0") + b"\x55\xaa")
    tool("mkfs.vfat", "-F", "16", "-n", "BOOT", "--offset", str(_FIRST), target, str(boot // 2))
    for name, path in files.items():
        tool("mcopy", "-i", _inside(target), path, f"::{name}")
    tool("syslinux", "--install", "--offset", str(_FIRST * _SECTOR), target)
    if room:
        where = [f"seek={(_FIRST + boot) * _SECTOR}", "oflag=seek_bytes", "bs=1M"]
        tool("dd", f"if={room}", f"of={target}", *where, "conv=notrunc,sparse", "status=none")


def tell(disk: Path, words: str) -> None:
    """Say with which words the kernel of a disk is started."""
    settings = disk.with_suffix(".cfg")
    settings.write_text(f"default lab\nlabel lab\n linux vmlinuz\n initrd initrd\n append {words}\n")
    tool("mcopy", "-o", "-i", _inside(disk), settings, "::syslinux.cfg")
    settings.unlink()


def _inside(disk: Path) -> str:
    """Return how mtools name the first partition of a disk."""
    return f"{disk}@@{_FIRST * _SECTOR}"


def _partition(kind: int, first: int, sectors: int, *, active: int = 0) -> bytes:
    return struct.pack("<B3sB3sII", active, _NO_CYLINDER, kind, _NO_CYLINDER, first, sectors)
