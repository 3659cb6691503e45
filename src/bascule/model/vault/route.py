"""Between whom an item is replicated, and how: what enabling protection settles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """From one registered host to another, by way of a store.

    ``source`` and ``recovery`` are ids of hosts. ``machine`` is what the source calls the machine. ``store``
    and ``key_file`` are what both hosts call the place of the points and its key. ``policy`` is one of the
    vault's, by its id. ``disks`` are those that are replicated, all if none is named (R-P-7).
    """

    source: str = ""
    machine: str = ""
    recovery: str = ""
    store: str = ""
    key_file: str = ""
    policy: str = ""
    disks: tuple[str, ...] = ()


NOWHERE = Route()
