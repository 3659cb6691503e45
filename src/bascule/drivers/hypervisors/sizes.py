"""How large a machine may be on a host, and what is said of one that is larger."""

from __future__ import annotations

import os

from bascule.model.errors import Refused
from bascule.model.machines import MachineDefinition


def memory_mib() -> int:
    """Return how much memory this host has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def check_size(definition: MachineDefinition, cpus_max: int, memory_mib_max: int) -> None:
    """Refuse a machine with more processors or memory than a host can give one."""
    hardware, name = definition.hardware, definition.name
    if hardware.cpus > cpus_max:
        raise Refused(
            f"{name} is to have {hardware.cpus} processors, and this host gives a machine {cpus_max} at most",
            cure=f"ask for {cpus_max} or fewer",
        )
    if hardware.memory_mib > memory_mib_max:
        raise Refused(
            f"{name} is to have {hardware.memory_mib} MiB of memory, and this host has {memory_mib_max} MiB",
            cure="ask for less, or take another host",
        )
