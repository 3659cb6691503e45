"""The nouns of the store as JSON: names as in the code, times in ISO 8601, bytes as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bascule.front.cli.words.quantities import moment_iso

if TYPE_CHECKING:
    from bascule.data.store import KeyInfo, PointInfo


def point_document(point: PointInfo) -> dict[str, object]:
    """Describe a point."""
    return {
        "group": point.group,
        "number": point.number,
        "captured_at": moment_iso(point.captured_at),
        "durable_at": moment_iso(point.durable_at),
        "consistency": point.consistency,
        "complete": point.complete,
        "locked_until": moment_iso(point.locked_until) if point.locked_until else None,
        "size_bytes": size_of(point),
        "changed_bytes": changed_of(point),
        "machines": [
            {
                "id": machine.id,
                "name": machine.name,
                "disks": [
                    {"id": disk.id, "size_bytes": disk.size_bytes, "changed_bytes": disk.changed_bytes}
                    for disk in machine.disks
                ],
            }
            for machine in point.machines
        ],
    }


def size_of(point: PointInfo) -> int:
    """Return the bytes of all disks of a point."""
    return sum(disk.size_bytes for machine in point.machines for disk in machine.disks)


def changed_of(point: PointInfo) -> int:
    """Return how many bytes a point changed."""
    return sum(disk.changed_bytes for machine in point.machines for disk in machine.disks)


def keys_document(keys: Sequence[KeyInfo]) -> list[dict[str, object]]:
    """Describe the keys of a vault."""
    return [
        {
            "id": key.id,
            "kind": key.kind,
            "label": key.label,
            "created_at": moment_iso(key.created_at),
            "fingerprint": key.fingerprint or None,
        }
        for key in keys
    ]
