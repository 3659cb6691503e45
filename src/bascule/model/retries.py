"""When to try again what failed for a reason that passes (R-R-3)."""

from __future__ import annotations

_LADDER_SECONDS = (60.0, 120.0, 240.0, 480.0, 600.0)
_THEN_SECONDS = 1800.0


def next_try(first: float, now: float) -> float:
    """Return when to try again, of attempts that have failed since the first one began.

    That is 1, 2, 4, 8 and 10 minutes after the beginning of the first attempt, then every 30 minutes. What
    an attempt that took long has missed is not made up for. After the clock was set back the first is now.
    """
    first = min(first, now)
    passed = now - first
    for rung in _LADDER_SECONDS:
        if passed < rung:
            return first + rung
    last = _LADDER_SECONDS[-1]
    return first + last + ((passed - last) // _THEN_SECONDS + 1) * _THEN_SECONDS
