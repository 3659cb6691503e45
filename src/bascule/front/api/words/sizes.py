"""Sizes of machines by names: processors and MiB of memory, of which any may be asked."""

from __future__ import annotations

import re

from ..errors import TurnedAway

_NAME = re.compile(r"Bascule_(\d{1,4})x(\d{1,8})", re.IGNORECASE)

LADDER = tuple(
    (cpus, gib * 1024) for cpus in (1, 2, 4, 8, 16, 32) for gib in (1, 2, 4, 8, 16, 32, 64) if cpus <= 4 * gib
)
"""Those that are shown."""


def name_of(cpus: int, memory_mib: int) -> str:
    """Return what a size is called; 0 is as it was."""
    return f"Bascule_{cpus}x{memory_mib}" if cpus or memory_mib else ""


def meant(name: str) -> tuple[int, int]:
    """Return the processors and the memory of a name, or refuse it."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise TurnedAway(
            f"{name[:60]!r} is no size of a machine",
            cure="name processors and MiB of memory, as Bascule_2x4096; targetComputeSizes lists some",
        )
    return int(found[1]), int(found[2])
