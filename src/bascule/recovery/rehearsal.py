"""Test failover: machines start beside the real ones, from a point, cut off from the world (R-FO-1).

Replication goes on; nothing is fenced and nothing is published. A test counts when it was cleaned up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from bascule.model.errors import Damaged
from bascule.ports.chance import Clock

from .record import Kind, Phase, Record, put, refuse_unless
from .shapes.shape import Shape
from .site import Site, is_off, members_at, serve, start, take_away

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
        if record.phase is Phase.STARTING or is_off(site, record):
            serve(site, record)
            start(site, record)
            record = site.records.advance(record, Phase.RUNNING)
        return record


def clean_up(site: Site, group: str, notes: str, clock: Clock) -> Record | None:
    """Remove all of a test and keep what was noted of it; nothing to do if there is none.

    The test counts from the moment that nothing of it is left: then its line is written, and after that its
    record goes. Notes that come with a second asking are kept in the place of the first ones.
    """
    with site.records.alone(group, Kind.TEST):
        record = site.records.find(group, Kind.TEST)
        if record is None:
            return None
        record = site.records.advance(record, Phase.CANCELLING)
        take_away(site, record)
        _note(site, Rehearsed(clock.now(), record.number, notes, record.token), group)
        site.records.remove(record)
        return record


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A test that counts: when nothing of it was left, of which point it was, and what it showed."""

    at: float
    point: int
    notes: str
    token: str


def rehearsed(site: Site, group: str) -> list[Rehearsed]:
    """Return the tests of a group on this host that were cleaned up, oldest first."""
    path = site.records.folder(group, Kind.TEST) / _NOTES
    try:
        lines = path.read_text().splitlines()
        return [Rehearsed(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise Damaged(f"{path} cannot be read: {error!r}", cure="set it aside, and keep it") from error


def _note(site: Site, test: Rehearsed, group: str) -> None:
    """Write a line for a test, once, however often its clean-up was interrupted."""
    known = rehearsed(site, group)
    before = [one for one in known if one.token == test.token]
    if before and not test.notes:
        return
    lines = [json.dumps(asdict(one)) for one in (*(one for one in known if one not in before), test)]
    put(site.records.folder(group, Kind.TEST), _NOTES, "".join(f"{line}\n" for line in lines))
