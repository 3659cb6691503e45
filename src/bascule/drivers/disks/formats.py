"""Which format an image has.

The content of a raw disk belongs to its guest, who may write the header of a qcow2
there that names a file of the host as its backing. So content never chooses a
format: a name or a person does, and the content must agree.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from bascule.model.errors import Refused

from .faults import translated

RAW: Final = "raw"
SUFFIXES: Final = {
    ".raw": "raw",
    ".qcow2": "qcow2",
    ".vhdx": "vhdx",
    ".vmdk": "vmdk",
    ".vhd": "vpc",
    ".vpc": "vpc",
}
FORMATS: Final = (*dict.fromkeys(SUFFIXES.values()),)
"""As QEMU spells them; ``vpc`` is VHD."""

_MAGIC: Final = (
    (b"QFI\xfb", "qcow2"),
    (b"vhdxfile", "vhdx"),
    (b"KDMV", "vmdk"),
    (b"COWD", "vmdk"),
    (b"# Disk DescriptorFile", "vmdk"),
    (b"conectix", "vpc"),
)
_SECTOR: Final = 512
_BACKING_FORMAT: Final = 0xE2792ACA


def format_of(path: Path, stated: str = "") -> str:
    """Return an existing image's format: as ``stated``, else as its name says if its content agrees."""
    if stated and stated not in FORMATS:
        raise Refused(f"{stated!r} is no format of disk images", cure=f"use one of {', '.join(FORMATS)}")
    with translated(f"look into {path}"), path.open("rb", buffering=0) as file:
        is_device = stat.S_ISBLK(os.fstat(file.fileno()).st_mode)
        found = _found(file.fileno())
        header = os.pread(file.fileno(), 65536, 0)
    named = stated or SUFFIXES.get(path.suffix.lower(), "")
    if named == RAW or (is_device and not named):
        return RAW
    if (named or RAW) != found:
        raise _disagreement(path, named, found)
    if found == "qcow2":
        _check_qcow2(path, header)
    return found


def format_for(path: Path, stated: str = "") -> str:
    """Return the format a new image is to have: as ``stated``, else as its name says, else raw."""
    chosen = stated or SUFFIXES.get(path.suffix.lower(), RAW)
    if chosen not in FORMATS:
        raise Refused(f"{chosen!r} is no format of disk images", cure=f"use one of {', '.join(FORMATS)}")
    return chosen


def said_size(path: Path, image_format: str) -> int:
    """Return how large the disk of an image is, as its file or its head says; 0 if that does not say."""
    with translated(f"look into {path}"), path.open("rb", buffering=0) as file:
        if image_format == RAW:
            return os.lseek(file.fileno(), 0, os.SEEK_END)
        head = os.pread(file.fileno(), 32, 0)
    is_known = image_format == "qcow2" and head.startswith(b"QFI\xfb") and len(head) == 32
    return int.from_bytes(head[24:32], "big") if is_known else 0


def _found(fd: int) -> str:
    """Return what the content looks like. A fixed VHD has its mark only at the end."""
    size = os.lseek(fd, 0, os.SEEK_END)
    head = os.pread(fd, _SECTOR, 0)
    tail = os.pread(fd, 8, size - _SECTOR) if size >= _SECTOR else b""
    by_head = (name for magic, name in _MAGIC if head.startswith(magic))
    return next(by_head, "vpc" if tail == b"conectix" else RAW)


def _disagreement(path: Path, named: str, found: str) -> Refused:
    if named:
        return Refused(
            f"{path} is said to be {named} but its content looks like {found}",
            cure=f"if you trust it, append ?format={found}",
        )
    return Refused(
        f"{path} may be a {found} image, or a raw disk on which a guest wrote something that looks like one",
        cure=f"append ?format={found} or ?format=raw",
    )


def _check_qcow2(path: Path, header: bytes) -> None:
    """Refuse what QEMU would ask a key for, or would guess a backing file's format for."""
    if int.from_bytes(header[32:36], "big"):
        raise Refused(f"{path} is encrypted", cure="decrypt it into another image first (qemu-img convert)")
    has_backing = int.from_bytes(header[8:16], "big") != 0
    if has_backing and _BACKING_FORMAT not in _extensions(header):
        raise Refused(
            f"{path} does not say which format its backing file has, so a guest could choose it",
            cure=f"write it down: qemu-img rebase -u -b BACKING -F FORMAT {path}",
        )


def _extensions(header: bytes) -> list[int]:
    """Return the types of the header's extensions: (type, length, data padded to 8) after the fixed part."""
    version = int.from_bytes(header[4:8], "big")
    at = int.from_bytes(header[100:104], "big") if version >= 3 else 72
    found: list[int] = []
    while at + 8 <= len(header):
        kind, length = (
            int.from_bytes(header[at : at + 4], "big"),
            int.from_bytes(header[at + 4 : at + 8], "big"),
        )
        if not kind:
            break
        found.append(kind)
        at += 8 + -(-length // 8) * 8
    return found
