"""Which host a name means: a path is a folder of QEMU machines, ``libvirt:`` a daemon of libvirt.

libvirt:///system, libvirt:///session         the daemon of this host, or of this user
libvirt+unix:///system?socket=PATH            a daemon that listens elsewhere
…?folder=PATH                                 where its new disks and consoles lie
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from bascule.model.errors import Refused
from bascule.model.policies import AUTO
from bascule.ports.chance import Clock, Ids
from bascule.ports.guests import GuestAgent
from bascule.ports.hypervisors import Hypervisor

ACCELERATOR = "BASCULE_ACCELERATOR"
"""The setting that chooses how QEMU machines run: ``auto`` (looks whether KVM works), ``kvm``, ``tcg``."""

_LIBVIRT_FOLDERS = {"/system": "/var/lib/bascule/machines", "/session": "{home}/bascule/machines"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


def open_hypervisor(words: str, clock: Clock, ids: Ids, settings: Mapping[str, str]) -> Hypervisor:
    """Open a host by its words."""
    accelerator = settings.get(ACCELERATOR, "auto")
    if words.startswith(("libvirt:", "libvirt+unix:")):
        from .libvirt.host.host import LibvirtHost

        return LibvirtHost(*_libvirt(words, settings), clock, ids, accelerator)
    if not words or _SCHEME.match(words):
        raise _nameless(words)
    from .qemu.host.host import QemuHost

    return QemuHost(Path(words).absolute(), clock, ids, accelerator)


def open_agent(words: str, folder: Path, which: str) -> GuestAgent | None:
    """Return the guest agent of a machine: ``which`` is its channel's socket, or ``auto``.

    That of a host's machine is known; that of a QMP socket lies beside it, ``web.agent`` beside ``web.qmp``.
    libvirt has the channel of its machines to itself, and is asked to speak to them.
    """
    from .qemu.agent.agent import agent_at
    from .qemu.host.folder import HostFolder

    host, is_named, name = words.partition("#")
    if which != AUTO:
        return agent_at(Path(which), folder)
    if host.startswith("libvirt"):
        from .libvirt.agent.agent import agent_of

        return agent_of(_libvirt(host, {})[0], name, folder)
    if is_named:
        return agent_at(HostFolder(Path(host)).machine(name).agent, folder)
    return agent_at(Path(words).with_suffix(".agent"), folder)


def _libvirt(words: str, settings: Mapping[str, str]) -> tuple[str, Path]:
    """Return libvirt's own address of a host, and the folder for what is ours there."""
    parts = urlsplit(words)
    asked = parse_qs(parts.query, strict_parsing=bool(parts.query))
    sockets, folders = asked.pop("socket", []), asked.pop("folder", [])
    is_socket = parts.scheme == "libvirt+unix"
    if (
        parts.netloc
        or asked
        or parts.path not in _LIBVIRT_FOLDERS
        or len(sockets) != is_socket
        or len(folders) > 1
    ):
        raise _nameless(words)
    uri = f"qemu+unix://{parts.path}?socket={quote(sockets[0])}" if is_socket else f"qemu://{parts.path}"
    home = settings.get("XDG_DATA_HOME") or str(Path(settings.get("HOME", "/")) / ".local/share")
    return uri, Path(folders[0] if folders else _LIBVIRT_FOLDERS[parts.path].format(home=home))


def _nameless(words: str) -> Refused:
    return Refused(
        f"{words!r} names no host of machines",
        cure="name the folder of a host of QEMU machines, or libvirt:///system or libvirt:///session",
    )
