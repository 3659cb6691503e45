"""Look over a whole store and say what is dead."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.data.store import pins
from bascule.data.store.access import Access
from bascule.data.store.format import names
from bascule.data.store.format.entries import Entry
from bascule.data.store.log import Log
from bascule.data.store.parts import Part, read_part
from bascule.data.store.points import POINTS
from bascule.model.errors import Damaged, Fenced, Missing
from bascule.ports.objects import ObjectInfo

from .marks import Marker, Marks
from .removal import lost
from .scan import entries
from .state import UpkeepEntry, upkeep_log


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did. ``lost`` names objects that kept points need and the store does not have."""

    objects: int = 0
    bytes: int = 0
    holds_expired: int = 0
    live_bytes: int = 0
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """A store as it was found: objects, what of them is alive, and who may still be writing."""

    segments: list[ObjectInfo]
    parts: list[tuple[ObjectInfo, Part]]
    logs: list[ObjectInfo]
    moved: list[ObjectInfo]
    heads: dict[str, Entry]
    removed: set[str]
    marks: Marks
    expired: list[str]
    upkeep_session: str

    def settled(self, name: str) -> bool:
        """Tell whether every point that will ever show a segment is there already."""
        group, session, sequence = names.split_segment(name)
        owner, _, stream = session.partition(".")
        if group == names.UPKEEP_GROUP:
            return owner != self.upkeep_session
        head = self.heads.get(group)
        if head is None:
            raise Damaged(
                f"group {group} has segments but no log", cure="keep the store as it is and verify it"
            )
        if owner == head.session:
            return sequence <= head.sealed_through.get(stream, -1)
        if owner in head.adopts:
            return not stream and sequence <= head.adopts[owner]
        return True

    def doomed(self) -> list[ObjectInfo]:
        """Return what may be deleted."""
        dead = [info for info in self.segments if not self.marks.alive(info.name) and self.settled(info.name)]
        dead += [info for info, part in self.parts if self._collected(info.name, part)]
        dead += [info for info in self.logs if info.name in self.removed and not self.marks.alive(info.name)]
        dead += [info for info in self.moved if info.name.removeprefix(names.MOVED) not in self.marks.moved]
        return dead

    def _collected(self, name: str, part: Part) -> bool:
        _, group, session, _, _ = name.split("/")
        head = self.heads.get(group)
        if head is None or head.session != session:
            return True
        return part.sealed_through <= head.sealed_through.get(part.stream, -1)

    def sparse(self, below: float) -> list[str]:
        """Return objects worth compacting: mostly dead segments, and removed points that still hold data."""
        alive = self.marks.bytes
        found = [
            info.name
            for info in self.segments
            if 0 < alive.get(info.name, 0) < below * info.size and self.settled(info.name)
        ]
        return found + [info.name for info in self.logs if info.name in self.removed and info.name in alive]


def survey(access: Access, state: UpkeepEntry, now: float) -> Survey:
    """List and mark. The order of the listings is what makes the answer safe: see session.py."""
    objects = access.objects
    segments = list(objects.list(names.SEGMENTS))
    parts = [(info, read_part(access, info.name)) for info in objects.list(names.PARTS)]
    moved = list(objects.list(names.MOVED))
    # Still the owner now: so nothing in these lists was written by a session after ours.
    if next(upkeep_log(access).numbers(), None) != state.number:
        raise Fenced(
            "another upkeep session took over this vault, "
            "or an entry that this one gave up was stored after all",
            cure="let the other one finish, or begin a new one",
        )
    holds = pins.holds(objects)
    logs = list(objects.list(names.POINTS))
    expired = {hold.name for hold in holds if hold.until is not None and hold.until < now}
    held = {(hold.group, hold.number) for hold in holds if hold.name not in expired}
    old = now - pins.READER_LEASE_SECONDS
    expired |= {info.name for info in objects.list(names.PROBES) if info.modified < old}
    marker = Marker(access, [info.name for info in (*segments, *logs)])
    heads, removed = _mark_all(access, state, _by_group(logs), held, marker)
    return Survey(segments, parts, logs, moved, heads, removed, marker.marks, sorted(expired), state.session)


def _by_group(logs: list[ObjectInfo]) -> dict[str, dict[int, ObjectInfo]]:
    """Return the entries of each group by their numbers, oldest first."""
    found: dict[str, dict[int, ObjectInfo]] = {}
    for info in reversed(logs):
        found.setdefault(info.name.split("/")[1], {})[names.number_of(info.name)] = info
    return found


def _mark_all(
    access: Access,
    state: UpkeepEntry,
    groups: dict[str, dict[int, ObjectInfo]],
    held: set[tuple[str, int]],
    marker: Marker,
) -> tuple[dict[str, Entry], set[str]]:
    heads: dict[str, Entry] = {}
    removed: set[str] = set()
    for group, listed in groups.items():
        head = Log(access, group, POINTS).glance(listed[max(listed)])
        heads[group] = head
        if head.base is not None and head.last_point is None:
            held.add(head.base)
    for group, listed in groups.items():
        whole = _whole(access, state, group, listed)
        gone = {n for n in whole if state.is_removed(group, n) and (group, n) not in held}
        removed |= {whole[n].name for n in gone}
        kept = (info for n, info in whole.items() if n not in gone)
        for entry in entries(Log(access, group, POINTS), kept):
            marker.point(entry)
    return heads, removed


def _whole(
    access: Access, state: UpkeepEntry, group: str, listed: dict[int, ObjectInfo]
) -> dict[int, ObjectInfo]:
    """Return all entries of a log, or raise Damaged if one is lost: what only it shows would seem dead."""
    overlooked = {}
    for number in lost(list(listed), state.removed.get(group, ())):
        try:
            # A listing may show an entry that was made while it ran, and overlook the one before.
            overlooked[number] = access.objects.stat(names.entry(group, number))
        except Missing as error:
            raise Damaged(
                f"log entry {group}/{number} is lost, and nothing is deleted that it may have shown",
                cure="bring it back from a copy of the store, or give it up by removing that point",
            ) from error
    return dict(sorted((listed | overlooked).items()))
