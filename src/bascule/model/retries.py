"""When to try again what failed for a reason that passes (R-R-3)."""

from __future__ import annotations

_LADDER_MINUTES = (1, 2, 4, 8, 10)
_THEN_MINUTES = 30


def seconds_until_retry(failures: int) -> float:
    """Return how long to wait after so many failures in a row; there is no last one."""
    if failures < 1:
        raise ValueError("nothing failed, so there is nothing to try again")
    if failures <= len(_LADDER_MINUTES):
        return _LADDER_MINUTES[failures - 1] * 60.0
    return _THEN_MINUTES * 60.0
