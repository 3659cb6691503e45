"""By what a guest knows a disk again, whichever host runs it."""

from __future__ import annotations

import hashlib

_SERIAL_MAX = 20


def serial_of(disk: str) -> str:
    """Return the serial number by which a guest knows a disk: its name, or what fits of it and a digest."""
    if len(disk) <= _SERIAL_MAX:
        return disk
    return f"{disk[: _SERIAL_MAX - 9]}-{hashlib.sha256(disk.encode()).hexdigest()[:8]}"
