"""What the upkeep log says: which points are removed, and which move is under way.

Every entry carries the whole state, so only the newest matters. Fences stay for
ever, like those of the point logs and for the same reason.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bascule.data.store.access import Access
from bascule.data.store.format import names
from bascule.data.store.log import Codec, Log
from bascule.model.errors import Damaged

from . import reserve

VERSION = 1


@dataclass(frozen=True, slots=True)
class RemovedRange:
    """Points ``first`` to ``last`` are gone; the two digests let the chain of the others still be checked.

    ``previous`` is what the first removed entry named; ``digest`` is the last removed entry's own.
    """

    first: int
    last: int
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class UpkeepEntry:
    """An entry of the upkeep log.

    ``removed`` holds ranges in order that do not touch. ``pending`` maps objects about
    to be deleted to their moved tables. ``leaving`` are points about to be removed
    unless a lock turns up; a fence forgets them. ``retired`` says with which entry a group has ended.
    """

    number: int
    kind: str  # "fence" or "state"
    session: str
    writer: str
    nonce: str
    written_at: float = 0.0
    removed: dict[str, tuple[RemovedRange, ...]] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    leaving: dict[str, tuple[int, ...]] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)

    def is_removed(self, group: str, number: int) -> bool:
        """Tell whether retention removed a point."""
        gaps = self.removed.get(group, ())
        before = bisect_right(gaps, number, key=lambda gap: gap.first)
        return before > 0 and number <= gaps[before - 1].last

    def is_leaving(self, group: str, number: int) -> bool:
        """Tell whether retention is about to remove a point: too late for a lock, not for a pin."""
        return number in self.leaving.get(group, ())


def _encode(entry: UpkeepEntry) -> bytes:
    return json.dumps(asdict(entry) | {"version": VERSION}, separators=(",", ":"), sort_keys=True).encode()


def _decode(text: bytes) -> UpkeepEntry:
    """Read an entry, or raise Damaged. Fields that a later Bascule may add are passed over."""
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields["version"] != VERSION:
            raise Damaged("the upkeep log was written by a newer Bascule than this one")
        removed = {
            group: tuple(RemovedRange(**gap) for gap in gaps) for group, gaps in fields["removed"].items()
        }
        leaving = {group: tuple(numbers) for group, numbers in fields["leaving"].items()}
        entry = UpkeepEntry(**{name: fields[name] for name in UpkeepEntry.__slots__ if name in fields})
        return replace(entry, removed=removed, leaving=leaving)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"an entry of the upkeep log cannot be read: {error!r}") from error


STATES: Codec[UpkeepEntry] = Codec(_encode, _decode)


def upkeep_log(access: Access) -> Log[UpkeepEntry]:
    """Return the vault's upkeep log."""
    return Log(access, names.UPKEEP_GROUP, STATES, reserve.UPKEEP_LEAVES)


def current(access: Access) -> UpkeepEntry | None:
    """Return the newest state, or None if no upkeep ever ran."""
    head = upkeep_log(access).head()
    return None if head is None else head.entry


def readable(access: Access) -> UpkeepEntry | None:
    """Return the newest state, or None if it is damaged too.

    For those who only read: a point's own bytes tell whether they are right, and a store whose
    housekeeping is damaged must still give back what it holds.
    """
    try:
        return current(access)
    except Damaged:
        return None
