"""Disks of a protected machine, as its host said last. Nobody has checked what it said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..commands import Json

DISKS_MAX = 256
_NAME_MAX = 255
_SIZE_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk by its name on the machine; ``is_replicated`` tells whether points have it (R-P-7)."""

    id: str
    size_bytes: int
    is_replicated: bool = True

    @property
    def size_mib(self) -> int:
        """Return in how many MiB it fits."""
        return -(-self.size_bytes >> 20)


def disks_said(facts: Mapping[str, Json]) -> tuple[Disk, ...]:
    """Return the disks that facts name, as many as are kept; what is none is left out."""
    said = facts.get("disks")
    if not isinstance(said, Sequence) or isinstance(said, str):
        return ()
    return tuple(_disks(said[:DISKS_MAX]))


def _disks(said: Sequence[Json]) -> Iterator[Disk]:
    for one in said:
        if isinstance(one, Mapping):
            id, size = one.get("id"), one.get("size_bytes")
            if not isinstance(id, str) or not 0 < len(id) <= _NAME_MAX:
                continue
            if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _SIZE_MAX:
                yield Disk(id, size, one.get("is_protected") is True)
