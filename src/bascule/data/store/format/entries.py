"""Entries of the point log, as text inside their seal.

An entry is a point, a fence, or the end of a group (``RETIRED``). Each names the
writer session that owns the log from there on, the digest of the entry before, and how far that session's
segments are accounted for: up to ``sealed_through`` they are in a point or never
will be. A fence ``adopts`` what earlier sessions left behind their last point.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bascule.model.errors import Damaged

from .container import FrameRef, Source
from .layers import LayerRef

VERSION = 1
RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class DiskEntry:
    """A disk at a point: ``inline`` is its newest layer, a frame of this very object."""

    id: str
    size_bytes: int
    changed_bytes: int
    inline: FrameRef | None
    layers: tuple[LayerRef, ...]


@dataclass(frozen=True, slots=True)
class MachineEntry:
    """A machine at a point; ``definition`` is what its hypervisor needs to build it again."""

    id: str
    name: str
    definition: str
    disks: tuple[DiskEntry, ...]


@dataclass(frozen=True, slots=True)
class PartEntry:
    """What a gateway added to a point: the part object and its digest."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a group's log."""

    group: str
    number: int
    kind: str  # "point", "fence" or RETIRED
    session: str
    writer: str
    previous: str  # hex digest of the entry before, "" for the first
    nonce: str
    sealed_through: dict[str, int] = field(default_factory=dict)
    adopts: dict[str, int] = field(default_factory=dict)
    last_point: int | None = None
    base: tuple[str, int] | None = None
    captured_at: float = 0.0
    written_at: float = 0.0
    consistency: str = "crash"
    complete: bool = True
    cut: int = 0
    machines: tuple[MachineEntry, ...] = ()
    parts: tuple[PartEntry, ...] = ()


class _Sources:
    """The objects an entry's frames lie in, each named once."""

    def __init__(self) -> None:
        self.known: dict[Source, int] = {}

    def frame(self, frame: FrameRef | None) -> list[int] | None:
        if frame is None:
            return None
        return [self.known.setdefault(frame.source, len(self.known)), *frame[1:]]


def encode(entry: Entry) -> bytes:
    """Return an entry as the text that is sealed."""
    sources = _Sources()
    machines = [
        {
            "id": machine.id,
            "name": machine.name,
            "definition": machine.definition,
            "disks": [_disk_out(disk, sources) for disk in machine.disks],
        }
        for machine in entry.machines
    ]
    fields: dict[str, Any] = {
        name: getattr(entry, name) for name in Entry.__slots__ if name not in ("machines", "parts")
    }
    fields["parts"] = [[part.name, part.digest] for part in entry.parts]
    fields |= {"version": VERSION, "machines": machines, "sources": _sources_out(sources.known)}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def _sources_out(known: Iterable[Source]) -> list[list[str]]:
    return [[source.name, source.salt.hex()] for source in known]


def _disk_out(disk: DiskEntry, sources: _Sources) -> dict[str, Any]:
    return {
        "id": disk.id,
        "size": disk.size_bytes,
        "changed": disk.changed_bytes,
        "inline": sources.frame(disk.inline),
        "layers": [[x.runs, x.first, x.end, sources.frame(x.index)] for x in disk.layers],
    }


def decode(text: bytes) -> Entry:
    """Read an entry, or raise Damaged. Fields that a later Bascule may add are passed over."""
    try:
        fields = json.loads(text)
        if fields["version"] != VERSION:
            raise Damaged("a log entry was written by a newer Bascule than this one")
        sources = [Source(name, bytes.fromhex(salt)) for name, salt in fields["sources"]]
        fields["machines"] = tuple(_machine_in(machine, sources) for machine in fields["machines"])
        fields["parts"] = tuple(PartEntry(*part) for part in fields["parts"])
        fields["base"] = tuple(fields["base"]) if fields["base"] else None
        return Entry(**{name: fields[name] for name in Entry.__slots__ if name in fields})
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise Damaged(f"a log entry cannot be read: {error!r}") from error


def _machine_in(fields: dict[str, Any], sources: list[Source]) -> MachineEntry:
    disks = tuple(_disk_in(disk, sources) for disk in fields["disks"])
    return MachineEntry(fields["id"], fields["name"], fields["definition"], disks)


def _disk_in(fields: dict[str, Any], sources: list[Source]) -> DiskEntry:
    def frame(values: list[int]) -> FrameRef:
        return FrameRef(sources[values[0]], *values[1:])

    return DiskEntry(
        fields["id"],
        fields["size"],
        fields["changed"],
        frame(fields["inline"]) if fields["inline"] else None,
        tuple(LayerRef(runs, first, end, frame(index)) for runs, first, end, index in fields["layers"]),
    )
