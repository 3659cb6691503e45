"""What an attempt makes of the facts, and what is read from how it went."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from bascule.model.errors import Unavailable
from bascule.model.items import DiskFact, Facts, Newest, State
from bascule.model.policies import Consistency
from bascule.ports.machines import Recorded
from bascule.replication.replicator import Cycled

_SCARCE = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT}
# What Python says, as a RuntimeError without a number, when the system gives it no thread.
_NO_THREAD = "can't start new thread"


def scarcity(error: Exception) -> Unavailable | None:
    """Return what to make of an error that says that the host is short of something, which passes (R-R-3)."""
    is_short = isinstance(error, OSError) and error.errno in _SCARCE
    if not (is_short or isinstance(error, MemoryError) or str(error) == _NO_THREAD):
        return None
    return Unavailable(
        f"the host is short of memory, threads, files or room: {error or type(error).__name__}",
        cure="see what uses them up, or give the provider fewer threads: `bascule provider run --threads`",
        code="scarcity",
    )


def is_half_changed(disks: Iterable[Recorded]) -> bool:
    """Have all records of a disk together reached 50 % of it (R-R-2)?"""
    return any(disk.changed_bytes * 2 >= disk.size_bytes for disk in disks if disk.changed_bytes)


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
