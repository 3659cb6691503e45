from __future__ import annotations

from datetime import datetime

import pytest

from bascule.front.cli.words.rates import schedule_from
from bascule.model.errors import Refused

MIB = 1 << 20
MONDAY = datetime(2026, 3, 2)


def rate(text: str, day: int, hour: int) -> int | None:
    """Return the rate at an hour of a day of one week, Monday is 0; the clock is this machine's."""
    schedule = schedule_from(text)
    return schedule.rate_at(MONDAY.replace(day=2 + day, hour=hour, tzinfo=schedule.zone).timestamp())


def test_one_rate_is_for_all_hours() -> None:
    assert {rate("50M", day, hour) for day in range(7) for hour in (0, 12, 23)} == {50 * MIB}


def test_working_hours_can_be_slower() -> None:
    text = "50M,5M@mon-fri/08:00-18:00"
    assert [rate(text, day, 12) for day in (0, 4, 5)] == [5 * MIB, 5 * MIB, 50 * MIB]
    assert [rate(text, 0, hour) for hour in (7, 8, 17, 18)] == [50 * MIB, 5 * MIB, 5 * MIB, 50 * MIB]


def test_without_a_rate_for_all_hours_the_others_are_free() -> None:
    assert [rate("5M@08:00-18:00", 6, hour) for hour in (7, 12)] == [None, 5 * MIB]


def test_hours_run_past_midnight_and_days_past_the_weekend() -> None:
    text = "1M,2M@sat-mon/22:00-6:00"
    assert [rate(text, day, 23) for day in (4, 5, 6, 0, 1)] == [MIB, 2 * MIB, 2 * MIB, 2 * MIB, MIB]
    assert rate(text, 1, 5) == 2 * MIB


def test_a_line_can_be_closed_for_some_hours() -> None:
    assert [rate("off@wed/08:00-18:00", day, 12) for day in (1, 2)] == [None, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "0",
        "off",
        "5M,6M",
        "5M@",
        "5M@noon",
        "5M@08:00",
        "5M@xyz/08:00-09:00",
        "5M@mon-xyz/08:00-09:00",
        "5M@25:00-26:00",
    ],
)
def test_what_names_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused) as refused:
        schedule_from(text)
    assert "50" in refused.value.cure
