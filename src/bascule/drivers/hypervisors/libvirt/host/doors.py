"""The sockets by which the QEMU of a machine reaches disks that are served on this host.

libvirt gives images to the user that its machines run as, and sockets to nobody: a point server's is for its
owner alone. So before a start that user is given the socket. Folders that it lies in let everybody pass and
nobody look, and the files beside it stay their owner's.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from bascule.model.errors import Unavailable

from ..domains import owner_of

_OWNER = re.compile(r"\+(\d+):\+(\d+)")


@dataclass(frozen=True, slots=True)
class User:
    """Whom a machine's QEMU runs as."""

    uid: int
    gid: int


def user_of(description: str, capabilities: str) -> User | None:
    """Return whom QEMU runs as, by a domain's own word or its host's; None where libvirt changes nobody."""
    if own := owner_of(description):
        return User(*own)
    kind, host = (ElementTree.fromstring(text) for text in (description, capabilities))
    for model in host.iterfind("host/secmodel"):
        found = _OWNER.fullmatch(model.findtext(f"baselabel[@type='{kind.get('type')}']", ""))
        if model.findtext("model") == "dac" and found:
            return User(int(found[1]), int(found[2]))
    return None


def doors_of(description: str) -> list[Path]:
    """Return the sockets that a domain's disks are behind."""
    hosts = ElementTree.fromstring(description).iterfind("devices/disk/source/host[@transport='unix']")
    return sorted({Path(host.get("socket", "")) for host in hosts})


def open_doors(doors: list[Path], user: User) -> None:
    """Give sockets to whom QEMU runs as; one that is not there is noticed by QEMU."""
    for door in doors:
        try:
            if door.exists() and door.stat().st_uid != user.uid:
                os.chown(door, user.uid, -1)
        except OSError as error:
            raise Unavailable(f"{door} cannot be shared with QEMU: {error.strerror}") from error


def barrier(doors: list[Path], user: User) -> Path | None:
    """Return the first folder on the way to a socket that keeps QEMU out, if one does."""
    for door in doors:
        for folder in reversed(door.parents):
            if not _may_pass(folder, user):
                return folder
    return None


def _may_pass(folder: Path, user: User) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return True  # it is not there, and that is something else
    if user.uid in (0, found.st_uid):
        return bool(user.uid == 0 or found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if user.gid == found.st_gid else stat.S_IXOTH))
