from __future__ import annotations

import pytest

from bascule.model.retries import seconds_until_retry


def test_the_first_retries_follow_the_ladder_and_later_ones_come_every_half_hour() -> None:
    """R-R-3."""
    waits = [seconds_until_retry(failures) / 60 for failures in range(1, 9)]
    assert waits == [1, 2, 4, 8, 10, 30, 30, 30]


def test_nothing_is_retried_that_did_not_fail() -> None:
    with pytest.raises(ValueError, match="nothing failed"):
        seconds_until_retry(0)
