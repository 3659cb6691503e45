"""Test failover: machines start beside the real ones, from a point, cut off from the world (R-FO-1).

Replication goes on; nothing is fenced and nothing is published. A test counts when it was cleaned up.
"""

from __future__ import annotations

import json
from contextlib import closing

from bascule.data.instant.local.folder import LocalFolder
from bascule.ports.chance import Clock

from .record import Kind, Phase, Record, refuse_unless
from .site import Shape, Site, members_at, serve, start, take_away

_NOTES = "tests.jsonl"


def rehearse(site: Site, group: str, shape: Shape, number: int | None = None) -> Record:
    """Start copies of a group's machines at a point, the newest if ``number`` is None; again, it goes on."""
    with site.records.alone(group, Kind.TEST):
        record = site.records.find(group, Kind.TEST)
        if record is None:
            with site.vault.peek(group, number) as point:
                empty = Record(Kind.TEST, group, site.ids.random(8).hex(), Phase.STARTING)
                members = members_at(site, empty, point.info, shape)
                record = site.records.advance(
                    empty, Phase.STARTING, number=point.info.number, members=members
                )
        refuse_unless(record, (Phase.STARTING, Phase.RUNNING), "test", "finish its clean-up first")
        if record.phase is Phase.STARTING:
            serve(site, record)
            start(site, record)
            record = site.records.advance(record, Phase.RUNNING)
        return record


def clean_up(site: Site, group: str, notes: str, clock: Clock) -> Record | None:
    """Remove all of a test and keep what was noted of it; nothing to do if there is none."""
    with site.records.alone(group, Kind.TEST):
        record = site.records.find(group, Kind.TEST)
        if record is None:
            return None
        is_first = record.phase is not Phase.CANCELLING
        record = site.records.advance(record, Phase.CANCELLING)
        take_away(site, record)
        if is_first or notes:
            _note(site, record, notes, clock)
        site.records.remove(record)
        return record


def _note(site: Site, record: Record, notes: str, clock: Clock) -> None:
    line = {"at": clock.now(), "point": record.number, "notes": notes}
    with closing(LocalFolder(site.records.folder(record.group, Kind.TEST))) as folder:
        file = folder.open(_NOTES)
        file.write(file.size(), (json.dumps(line) + "\n").encode())
        file.sync()
        file.close()
        folder.sync()
