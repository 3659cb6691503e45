"""Which host a name means: a path is a folder of QEMU machines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bascule.model.errors import Refused
from bascule.ports.chance import Clock, Ids
from bascule.ports.hypervisors import Hypervisor

ACCELERATOR = "BASCULE_ACCELERATOR"
"""The setting that chooses how QEMU machines run: ``auto`` (looks whether KVM works), ``kvm``, ``tcg``."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


def open_hypervisor(words: str, clock: Clock, ids: Ids, settings: Mapping[str, str]) -> Hypervisor:
    """Open a host by its words."""
    if not words or _SCHEME.match(words):
        raise Refused(
            f"{words!r} names no host of machines", cure="name the folder of a host of QEMU machines"
        )
    from .qemu.host.host import QemuHost

    return QemuHost(Path(words), clock, ids, settings.get(ACCELERATOR, "auto"))
