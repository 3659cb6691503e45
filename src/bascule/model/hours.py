"""Hours of the week in which something may happen, such as a resync (R-R-2), and times of a day at which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from .errors import Refused

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))?/)?(\d{1,2}:\d{2})-(\d{1,2}:\d{2})\Z")
_TIME = re.compile(r"\d\d:\d\d(:\d\d)?")
_CURE = "write DAYS/HH:MM-HH:MM,… such as mon-fri/18:30-06:30,sat-sun/00:00-00:00; or any, or never"

ANY, NEVER = "any", "never"
OUTSIDE_OFFICE = "mon-fri/18:30-06:30,sat-sun/00:00-00:00"


@dataclass(frozen=True, slots=True)
class Span:
    """From one time of some days to another; an end at or before the start lies on the next day."""

    start: time
    end: time
    days: frozenset[int]

    def covers(self, moment: datetime) -> bool:
        """Is a moment of local time inside?"""
        now, today = moment.time(), moment.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= now < self.end
        return (today in self.days and now >= self.start) or ((today - 1) % 7 in self.days and now < self.end)


@dataclass(frozen=True, slots=True)
class Hours:
    """Spans of the week."""

    spans: tuple[Span, ...]

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read ``mon-fri/18:30-06:30,sat-sun/00:00-00:00``, ``any`` or ``never``."""
        if text == NEVER:
            return cls(())
        if text == ANY:
            text = "00:00-00:00"
        return cls(tuple(_span(part.strip().lower(), text) for part in text.split(",")))

    def covers(self, moment: datetime) -> bool:
        """Is a moment of local time inside one of the spans?"""
        return any(span.covers(moment) for span in self.spans)


def time_of_day(text: str) -> time:
    """Return a time such as ``22:00``, or refuse it."""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError("two digits, a colon and two digits make one")
        return time.fromisoformat(text)
    except ValueError as error:
        raise Refused(
            f"{text[:40]!r} is no time of the day: {error}", cure="write HH:MM, as 22:00"
        ) from error


def next_at(of_day: time, since: datetime) -> datetime:
    """Return the first moment of local time from ``since`` on at which it is that time of the day."""
    found = datetime.combine(since.date(), of_day)
    return found if found >= since else datetime.combine(since.date() + timedelta(days=1), of_day)


def _span(part: str, text: str) -> Span:
    match = _SPAN.match(part)
    first, last, start, end = match.groups() if match else ("", "", "", "")
    if not match or not {first or "mon", last or "mon"} <= set(_DAYS):
        raise Refused(f"{part!r} in {text!r} names no hours of the week", cure=_CURE)
    try:
        begin, stop = time.fromisoformat(start.zfill(5)), time.fromisoformat(end.zfill(5))
    except ValueError as error:
        raise Refused(f"{part!r} in {text!r} names no hours: {error}", cure=_CURE) from error
    return Span(begin, stop, _days(first, last or first))


def _days(first: str, last: str) -> frozenset[int]:
    if not first:
        return frozenset(range(7))
    low, high = _DAYS.index(first), _DAYS.index(last)
    return frozenset((low + step) % 7 for step in range((high - low) % 7 + 1))
