"""A time of the day comes once in any twenty-four hours."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Refused
from bascule.model.hours import next_at, time_of_day

NOON = datetime(2027, 1, 15, 12)


@pytest.mark.parametrize(
    ("text", "day", "hour"), [("22:00", 15, 22), ("12:00", 15, 12), ("11:59:59", 16, 11), ("00:00", 16, 0)]
)
def test_a_time_that_has_passed_today_comes_tomorrow(text: str, day: int, hour: int) -> None:
    found = next_at(time_of_day(text), NOON)
    assert (found.day, found.hour) == (day, hour)


@given(
    st.times().map(lambda found: found.replace(microsecond=0)), st.datetimes(max_value=datetime(9999, 1, 1))
)
def test_it_is_that_time_within_a_day_and_not_before(of_day: time, since: datetime) -> None:
    found = next_at(of_day, since)
    assert found.time() == of_day
    assert timedelta(0) <= found - since < timedelta(days=1)


@pytest.mark.parametrize(
    "text", ["22", "24:00", "22:60", "2:00", "22:00 ", "22:00:00.5", "ten", "22:00+02:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no time of the day"):
        time_of_day(text)
