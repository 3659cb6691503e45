"""What a folder serves, written down so that a restarted process goes on with the same pin.

    PINNING    a pin's id is chosen and may have been taken      → take it (again), then PINNED
    PINNED     the point is held in the store                    → reopen it under that pin
    LOCAL      every disk is here, the store is not needed       → release the pin, then forget its id
    DISCARDING the folder is being thrown away                   → go on throwing away

Each phase is durable before the first act that belongs to it, and each act can be
done twice. So whatever the moment of a crash, the next process finds the pin by its id,
and a pin never outlives its folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum

from bascule.model.errors import Damaged, Refused

from .local.folder import Folder

STATE = "state"
_FORMAT = 1


class Phase(Enum):
    """Where a folder is in its life."""

    PINNING = "pinning"
    PINNED = "pinned"
    LOCAL = "local"
    DISCARDING = "discarding"


@dataclass(frozen=True, slots=True)
class ServedDisk:
    """A disk of the machine; its files are in folders that begin with its place in the list."""

    id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Served:
    """A machine at a point, and the pin that holds it, if any does."""

    group: str
    number: int
    machine: str
    disks: tuple[ServedDisk, ...]
    pin_id: str
    phase: Phase = Phase.PINNING


def load(folder: Folder) -> Served | None:
    """Read what a folder serves, durably so, None if it serves nothing yet."""
    if not folder.exists(STATE):
        return None
    # Whoever wrote it may have died before this, and the next act counts on it.
    folder.sync()
    file = folder.open(STATE)
    try:
        fields = json.loads(file.read(0, file.size()))
        if fields["format"] != _FORMAT:
            raise Refused(
                f"{folder.name} has format {fields['format']}; this Bascule knows format {_FORMAT}",
                cure="use the Bascule that served it last",
            )
        disks = tuple(ServedDisk(str(disk["id"]), int(disk["size_bytes"])) for disk in fields["disks"])
        group, machine, pin_id = (str(fields[key]) for key in ("group", "machine", "pin_id"))
        return Served(group, int(fields["number"]), machine, disks, pin_id, Phase(fields["phase"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{folder.name}/{STATE} cannot be read: {error}") from error
    finally:
        file.close()


def save(folder: Folder, served: Served) -> None:
    """Write down what a folder serves; durable on return, and never half."""
    fields = asdict(served) | {"format": _FORMAT, "phase": served.phase.value}
    data = json.dumps(fields, indent=1).encode()
    file = folder.open(f"{STATE}.new")
    file.resize(0)
    file.write(0, data)
    file.sync()
    file.close()
    folder.replace(f"{STATE}.new", STATE)
    folder.sync()


def advance(folder: Folder, served: Served, phase: Phase) -> Served:
    """Write down a new phase and return it."""
    served = replace(served, phase=phase)
    save(folder, served)
    return served
