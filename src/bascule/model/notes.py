"""What a point says of a machine beside its disks: what it is made of, and how later changes are known.

It travels in the machine's ``definition``, so that the store alone is enough to boot a machine (R-VM-5),
and no file elsewhere can disagree with the point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import machines
from .errors import Damaged
from .machines import MachineDefinition

_VERSION = 1


@dataclass(frozen=True, slots=True)
class MachineNote:
    """A note on one machine at one point.

    ``tracking`` names for each disk the record of what changed since this point. ``written`` gives for a
    disk the words of a source whose extents hold all that changed since this group of points began: what
    a recovered machine wrote, which is known even when every record is lost.
    """

    machine: MachineDefinition | None = None
    tracking: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)


def to_text(note: MachineNote) -> str:
    """Return a note as JSON."""
    fields: dict[str, object] = {"version": _VERSION, "tracking": dict(note.tracking)}
    if note.machine is not None:
        fields["machine"] = json.loads(machines.written(note.machine))
    if note.written:
        fields["written"] = dict(note.written)
    return json.dumps(fields, sort_keys=True)


def from_text(text: str) -> MachineNote:
    """Return the note that a point has, an empty one if it was made in another way."""
    try:
        fields: Any = json.loads(text)
        if fields["version"] != _VERSION:
            return MachineNote()
        machine = machines.read(json.dumps(fields["machine"])) if "machine" in fields else None
        return MachineNote(machine, _names(fields["tracking"]), _names(fields.get("written", {})))
    except (ValueError, TypeError, KeyError, AttributeError, Damaged):
        return MachineNote()


def _names(found: dict[str, str]) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()}
