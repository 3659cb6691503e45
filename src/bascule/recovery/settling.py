"""What follows from a commit: the side that was left knows that it was, and its other points go (R-FO-3).

Order: the record says committed; the log that was left says that it was left for good; points are removed.
Killed in between, the same commit again completes. Until the log says so nothing of the side that was left
is removed, because a failback that is cancelled goes back to it.

What stays of the logs before: the point that machines were started from, to which a failback compares; each
log's newest, behind which is what nobody saw; what is locked. Who reads a point has it pinned and reads on.
"""

from __future__ import annotations

from bascule.model.errors import Fenced

from . import generations
from .record import Record
from .site import Site

_TRIES = 3


def settle(site: Site, record: Record, *, keeps_points: bool = False) -> None:
    """Tell the side that was left, and remove the points that nobody goes back to; again, the rest."""
    generations.settle(site.vault, record.group, site.who)
    if keeps_points:
        return
    for left in range(_TRIES)[::-1]:
        try:
            _remove_others(site, record)
            return
        except Fenced:  # another upkeep began at this moment: either of them may end the other
            if not left:
                raise


def _remove_others(site: Site, record: Record) -> None:
    logs = generations.lineage(site.vault, record.group).logs
    removed = 0
    with site.vault.upkeep(writer=site.who) as upkeep:
        for log in logs[: logs.index(record.log)]:
            stay = [record.number] if log == record.group else []
            removed += len(upkeep.keep_only(log, stay))
    if removed:
        site.say(f"removed the other points of {record.group}: {removed}")
