"""How many examples a property is tried with: its share of what the run asks for, so one option moves all."""

from __future__ import annotations

from hypothesis import settings


def share(part: float) -> int:
    """Return ``part`` of the examples of this run's profile, and at least one; for use at import."""
    return max(1, round(settings.default.max_examples * part))
