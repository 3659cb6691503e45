"""Ranges of removed points, so that the chain of the others can still be checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from bascule.data.store.format.entries import Entry
from bascule.data.store.log import Head, Log
from bascule.model.errors import Damaged, Missing

from .state import RemovedRange


def range_of(head: Head[Entry]) -> RemovedRange:
    """Return what is kept of a removed entry."""
    return RemovedRange(head.entry.number, head.entry.number, head.entry.previous, head.digest)


def given_up(log: Log[Entry], removed: Sequence[RemovedRange], number: int) -> RemovedRange:
    """Return what can be known of an entry that is lost or damaged, from its neighbours."""
    previous = next((gap.digest for gap in removed if gap.last == number - 1), "")
    digest = next((gap.previous for gap in removed if gap.first == number + 1), "")
    with suppress(Missing, Damaged):
        previous = previous or log.read(number - 1).digest
    with suppress(Missing, Damaged):
        digest = digest or log.read(number + 1).entry.previous
    return RemovedRange(number, number, previous, digest)


def join(found: list[RemovedRange]) -> tuple[RemovedRange, ...]:
    """Join ranges that touch; only the digests at their ends are kept."""
    joined: list[RemovedRange] = []
    for gap in sorted(found, key=lambda gap: gap.first):
        if joined and joined[-1].last + 1 == gap.first:
            before = joined.pop()
            joined.append(RemovedRange(before.first, gap.last, before.previous, gap.digest))
        else:
            joined.append(gap)
    return tuple(joined)


def lost(numbers: Sequence[int], removed: Sequence[RemovedRange]) -> Iterator[int]:
    """Yield what is missing in a log: numbers below its newest that are neither there nor removed."""
    gaps = iter(removed)
    gap = next(gaps, None)
    at = 0
    for number in numbers:
        while at < number:
            while gap is not None and gap.last < at:
                gap = next(gaps, None)
            if gap is None or at < gap.first:
                yield at
                at += 1
            else:
                at = gap.last + 1
        at = max(at, number + 1)


class Chain:
    """Follows the entries of a log, oldest first, and tells which do not name the one before them."""

    def __init__(self, removed: Sequence[RemovedRange]) -> None:
        self._before = {gap.last + 1: gap for gap in removed}
        self._number = -1
        self._digest = ""

    def strangers(self, head: Head[Entry]) -> Iterator[int]:
        """Take in the next entry that is not removed; yield entries that are not those once written."""
        number, previous = head.entry.number, head.entry.previous
        gap = self._before.get(number)
        if gap is not None and gap.digest not in ("", previous):
            yield number
        named, below = (previous, number) if gap is None else (gap.previous, gap.first)
        if below == self._number + 1 and named not in ("", self._digest):
            yield self._number
        self._number, self._digest = number, head.digest
