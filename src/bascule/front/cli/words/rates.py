"""How fast a transfer may be, by the hour: ``50M``, or ``50M,5M@mon-fri/08:00-18:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from bascule.model.errors import Refused

from .quantities import bytes_from

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.throttle import Schedule, Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))?/)?(\d{1,2}:\d{2})-(\d{1,2}:\d{2})\Z")
_CURE = "write RATE, or RATE@[DAYS/]HH:MM-HH:MM for some hours, such as 50M,5M@mon-fri/08:00-18:00"


def schedule_from(text: str) -> Schedule:
    """Read rates: one for all hours, others for hours of this machine's clock, ``off`` to close the line."""
    from bascule.data.pipeline.flow.throttle import Schedule

    always: list[int] = []
    windows: list[Window] = []
    for part in text.lower().split(","):
        rate, at, hours = part.strip().partition("@")
        count = 0 if at and rate == "off" else bytes_from(rate)
        if at:
            windows.append(_window(text, hours, count))
        elif count:
            always.append(count)
        else:
            raise Refused(f"{part!r} would never send anything", cure=_CURE)
    if len(always) > 1:
        raise Refused(f"{text!r} names two rates for the same hours", cure=_CURE)
    zone = datetime.now(UTC).astimezone().tzinfo or UTC
    return Schedule(always[0] if always else None, tuple(windows), zone)


def _window(text: str, hours: str, rate: int) -> Window:
    from bascule.data.pipeline.flow.throttle import EVERY_DAY, Window

    match = _HOURS.match(hours)
    first, last, start, end = match.groups() if match else (None,) * 4
    if start is None or end is None or not {first or "mon", last or "mon"} <= set(_DAYS):
        raise Refused(f"{hours!r} in {text!r} names no hours", cure=_CURE)
    try:
        begin, stop = time.fromisoformat(start.zfill(5)), time.fromisoformat(end.zfill(5))
    except ValueError as error:
        raise Refused(f"{hours!r} in {text!r} names no hours: {error}", cure=_CURE) from error
    return Window(begin, stop, rate, _days(first, last or first) if first else EVERY_DAY)


def _days(first: str, last: str | None) -> frozenset[int]:
    """Return the weekdays from one to another, over the week's end if need be."""
    low, high = _DAYS.index(first), _DAYS.index(last or first)
    return frozenset((low + i) % 7 for i in range((high - low) % 7 + 1))
