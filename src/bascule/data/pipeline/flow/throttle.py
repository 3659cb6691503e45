"""Bandwidth by the hour (R-R-4): a token bucket whose rate follows a weekly schedule.

One throttle is shared by all transfers that share a line. It counts after the
fact: a transfer reports what it sent and is held back until the line has had
time to carry it, so the mean is exact and units need not be cut to fit.

Who reports is a *payer*, such as an item of a provider. What the line carries is credited to all who owe
in equal parts, and what one of them does not need to the others: so each has its share, however
many threads it has and however much the others send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from threading import Lock

from bascule.model.errors import Refused
from bascule.ports.chance import Clock

# How much may be sent at once after a silence, in seconds of the rate.
BURST_SECONDS = 1.0
# A changed schedule, a new window and a cancel are noticed within this time.
NAP_SECONDS = 0.5
# Shorter naps cost more than they wait; what is overslept is credit for the next unit.
SHORTEST_NAP_SECONDS = 0.002

# Less than a byte is not owed: what is left of it is of the arithmetic.
_NOTHING = 0.5

EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some weekdays (Monday is 0) with a rate of their own; ``None`` is no limit, 0 a closed line.

    An end at or before the start lies on the next day: 22:00 to 06:00 of a Friday ends on Saturday.
    """

    start: time
    end: time
    rate_bytes: int | None
    days: frozenset[int] = EVERY_DAY

    def __post_init__(self) -> None:
        if not self.days <= EVERY_DAY:
            raise Refused(f"weekdays {sorted(self.days)} are not all 0 to 6", cure="Monday is 0, Sunday is 6")
        if self.rate_bytes is not None and self.rate_bytes < 0:
            raise Refused(f"{self.rate_bytes} bytes per second is negative", cure="0 closes the line")

    def covers(self, moment: datetime) -> bool:
        """Is ``moment``, in the schedule's time zone, inside?"""
        now, today, yesterday = moment.time(), moment.weekday(), (moment.weekday() - 1) % 7
        if self.start < self.end:
            return today in self.days and self.start <= now < self.end
        return (today in self.days and now >= self.start) or (yesterday in self.days and now < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows of the week, the first that covers the moment counts, and the rate of all other hours."""

    otherwise_bytes: int | None = None
    windows: tuple[Window, ...] = ()
    zone: tzinfo = UTC

    def rate_at(self, moment: float) -> int | None:
        """Return bytes per second at ``moment`` (seconds since 1970), None for no limit."""
        local = datetime.fromtimestamp(moment, self.zone)
        for window in self.windows:
            if window.covers(local):
                return window.rate_bytes
        return self.otherwise_bytes


class Throttle:
    """Holds transfers to a schedule, which may be changed while they run."""

    def __init__(self, clock: Clock, schedule: Schedule = Schedule()) -> None:
        self._clock = clock
        self._schedule = schedule
        self._lock = Lock()
        self._saved = 0.0
        self._debts: dict[str, float] = {}
        self._counted = clock.monotonic()

    def change(self, schedule: Schedule) -> None:
        """Let another schedule rule from now on, also over those who wait."""
        with self._lock:
            self._refill()
            self._schedule = schedule

    def spend(self, count: int, check: Callable[[], None], payer: str = "") -> None:
        """Report ``count`` bytes sent and wait until their payer may use the line again.

        ``check`` is called before every nap, and ends the wait by raising.
        """
        nap = self._charge(count, payer)
        while nap:
            check()
            self._clock.sleep(nap)
            nap = self._charge(0, payer)

    def owe(self, count: int, payer: str = "") -> None:
        """Report ``count`` bytes sent without waiting; the payer waits for them with its next."""
        self._charge(count, payer)

    def _charge(self, count: int, payer: str) -> float:
        """Add ``count`` to what a payer owes and return how long to nap, 0 for not at all."""
        with self._lock:
            rate = self._refill()
            if rate is None:
                return 0.0
            self._debts[payer] = self._debts.get(payer, 0.0) + count
            self._credit(0.0)
            if rate == 0:
                return NAP_SECONDS
            debt = self._debts.get(payer, 0.0)
            if not debt:
                return 0.0
            return max(min(debt * len(self._debts) / rate, NAP_SECONDS), SHORTEST_NAP_SECONDS)

    def _refill(self) -> int | None:
        """Credit the time that passed at the rate of now; a window's edge blurs by one nap."""
        rate = self._schedule.rate_at(self._clock.now())
        now = self._clock.monotonic()
        passed, self._counted = now - self._counted, now
        if rate is None:
            self._saved = 0.0
            self._debts.clear()
        else:
            self._credit(passed * rate)
            self._saved = min(self._saved, BURST_SECONDS * rate)
        return rate

    def _credit(self, count: float) -> None:
        """Give credit to those who owe, in equal parts; what nobody needs is saved."""
        left, self._saved = self._saved + count, 0.0
        owing = sorted(self._debts.items(), key=lambda entry: entry[1])
        for place, (payer, debt) in enumerate(owing):
            paid = min(debt, left / (len(owing) - place))
            left -= paid
            self._debts[payer] = debt - paid
        self._debts = {payer: debt for payer, debt in self._debts.items() if debt > _NOTHING}
        self._saved = left
