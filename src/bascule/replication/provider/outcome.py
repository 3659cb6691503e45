"""What a cycle that succeeded makes of the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bascule.model.items import DiskFact, Facts, Newest, State
from bascule.model.policies import Consistency
from bascule.replication.replicator import Cycled


def disk_changes(before: Sequence[DiskFact], after: Sequence[DiskFact]) -> Iterator[tuple[str, DiskFact]]:
    """Yield what became of the disks of an item between two points: added, removed, resized (R-P-7)."""
    old = {(disk.machine, disk.id): disk for disk in before}
    new = {(disk.machine, disk.id): disk for disk in after}
    for key, disk in new.items():
        if key not in old:
            yield "disk-added", disk
        elif disk.size_bytes != old[key].size_bytes:
            yield "disk-resized", disk
    yield from (("disk-removed", disk) for key, disk in old.items() if key not in new)


def of_cycle(facts: Facts, done: Cycled, session: str) -> dict[str, Any]:
    """Return the facts that are new after a point."""
    copied, point = done.copied, done.copied.point
    totals = replace(
        facts.totals,
        cycles=facts.totals.cycles + 1,
        read_bytes=facts.totals.read_bytes + copied.read_bytes,
        sent_bytes=facts.totals.sent_bytes + copied.sent_bytes,
        stored_bytes=facts.totals.stored_bytes + copied.stored_bytes,
        resent_bytes=facts.totals.resent_bytes + copied.lost_bytes,
    )
    disks = [DiskFact(m.id, disk.id, disk.size_bytes) for m in point.machines for disk in m.disks]
    disks += [DiskFact(*disk, size, False) for disk, size in done.left_out.items()]
    found: dict[str, Any] = {
        "state": State.REPLICATING,
        "safe_as_of": point.captured_at,
        "newest": Newest(point.number, point.captured_at, point.consistency),
        "trouble": None,
        "headway": None,
        "mark": None,
        "marked_at": None,
        "session": session,
        "fenced_by": "",
        "fenced_by_writer": "",
        "cycle_seconds": done.seconds,
        "totals": totals,
        "disks": tuple(sorted(disks, key=lambda disk: (disk.machine, disk.id))),
        "absent": tuple(sorted(done.absent)),
    }
    if point.consistency != Consistency.CRASH:
        found["app_consistent_at"] = point.captured_at
    return found
