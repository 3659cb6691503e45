"""Bytes, times and spans, as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bascule.model.errors import Refused

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(I?B?)(?:/S)?\Z")
_SIZE_STEPS = "KMGTP"
_SPAN = re.compile(r"(\d+)([smhdw])\Z")
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def bytes_from(text: str) -> int:
    """Read ``64M``, ``1.5GiB`` or ``500000``: K, M, G, T and P are powers of 1024."""
    match = _SIZE.match(text.strip().upper())
    if not match:
        raise Refused(f"{text!r} is no number of bytes", cure="write it like 500K, 64M or 1.5G")
    power = _SIZE_STEPS.index(match[2]) + 1 if match[2] else 0
    return int(float(match[1]) * 1024**power)


def bytes_text(count: float) -> str:
    """Write a number of bytes with three digits that matter: ``1.46 GiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    for step in _SIZE_STEPS:
        count /= 1024
        if count < 1000 or step == _SIZE_STEPS[-1]:
            break
    digits = 2 if count < 10 else 1 if count < 100 else 0
    return f"{count:.{digits}f} {step}iB"


def seconds_from(text: str) -> int:
    """Read ``5s``, ``90m``, ``12h``, ``30d`` or ``8w``."""
    match = _SPAN.match(text.strip().lower())
    if not match:
        raise Refused(f"{text!r} is no span of time", cure="write it like 5s, 90m, 12h, 30d or 8w")
    return int(match[1]) * _SPANS[match[2]]


def since_from(text: str, now: float) -> float:
    """Read a moment: a span before now, as ``2h``, or a date or date and time."""
    return now - seconds_from(text) if _SPAN.match(text.strip().lower()) else moment_from(text)


def seconds_text(seconds: float) -> str:
    """Write a span of time: ``0.42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment_text(moment: float) -> str:
    """Write a moment for people, in this machine's time zone, to the second."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moment_iso(moment: float) -> str:
    """Write a moment for programs: ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_from(text: str) -> float:
    """Read an ISO 8601 date or date and time; without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except ValueError as error:
        raise Refused(f"{text!r} is no date", cure="write it like 2030-01-31 or 2030-01-31T18:00") from error
