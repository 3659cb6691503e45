"""By what a guest knows its hardware again, whichever host runs it."""

from __future__ import annotations

import hashlib
import uuid

_SERIAL_MAX = 20
_MACHINES = uuid.UUID("6a1c8f4e-3f0b-5d27-9b1e-0c7d52a9e4f3")


def uuid_of(machine: str) -> str:
    """Return the number by which a guest knows its machine: always the same for this name."""
    return str(uuid.uuid5(_MACHINES, machine))


def serial_of(disk: str) -> str:
    """Return the serial number by which a guest knows a disk: its name, or what fits of it and a digest."""
    if len(disk) <= _SERIAL_MAX:
        return disk
    return f"{disk[: _SERIAL_MAX - 9]}-{hashlib.sha256(disk.encode()).hexdigest()[:8]}"
