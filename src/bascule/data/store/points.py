"""What a point is, as callers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .format.entries import Entry, decode, encode
from .log import Codec

POINTS: Codec[Entry] = Codec(encode, decode)


class DiskKey(NamedTuple):
    """A disk of a machine."""

    machine: str
    disk: str


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk to be put into a point."""

    id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to be put into a point; ``definition`` is kept as it is."""

    id: str
    name: str
    disks: tuple[DiskSpec, ...]
    definition: str = ""


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """A disk in a point; ``changed_bytes`` is what this point changed of it."""

    id: str
    size_bytes: int
    changed_bytes: int


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """A machine in a point."""

    id: str
    name: str
    definition: str
    disks: tuple[DiskInfo, ...]


@dataclass(frozen=True, slots=True)
class PointInfo:
    """A recovery point. ``complete`` is False when a machine of the group is missing from its instant."""

    group: str
    number: int
    captured_at: float
    durable_at: float
    consistency: str
    complete: bool
    machines: tuple[MachineInfo, ...]
    locked_until: float = 0.0

    @classmethod
    def of(cls, entry: Entry, durable_at: float | None = None, locked_until: float = 0.0) -> PointInfo:
        """Describe a log entry."""
        machines = tuple(
            MachineInfo(
                m.id,
                m.name,
                m.definition,
                tuple(DiskInfo(d.id, d.size_bytes, d.changed_bytes) for d in m.disks),
            )
            for m in entry.machines
        )
        durable = entry.written_at if durable_at is None else durable_at
        return cls(
            entry.group,
            entry.number,
            entry.captured_at,
            durable,
            entry.consistency,
            entry.complete,
            machines,
            locked_until,
        )
