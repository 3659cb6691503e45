"""R-R-4: bandwidth by the hour."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from functools import partial

import pytest

from bascule.data.pipeline.flow.crew import Cancel, together
from bascule.data.pipeline.flow.throttle import Schedule, Throttle, Window
from bascule.drivers.objects.memory import SetClock
from bascule.model.errors import Cancelled, Refused

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
WORK = frozenset(range(5))
OFFICE = Schedule(1000, (Window(time(8), time(18), 10, WORK),))
NIGHT = Schedule(None, (Window(time(22), time(6), 5, frozenset({4})),))


def no_cancel() -> None:
    """Nobody asks to stop."""


def at(days: int = 0, **rest: int) -> float:
    return (MONDAY + timedelta(days=days, **rest)).timestamp()


@pytest.mark.parametrize(
    ("schedule", "moment", "rate"),
    [
        (OFFICE, at(hours=7, minutes=59), 1000),
        (OFFICE, at(hours=8), 10),
        (OFFICE, at(hours=17, minutes=59), 10),
        (OFFICE, at(hours=18), 1000),
        (OFFICE, at(days=5, hours=12), 1000),
        (NIGHT, at(days=4, hours=21), None),
        (NIGHT, at(days=4, hours=23), 5),
        (NIGHT, at(days=5, hours=5), 5),
        (NIGHT, at(days=5, hours=6), None),
        (NIGHT, at(days=4, hours=5), None),
        (NIGHT, at(days=5, hours=23), None),
        (Schedule(7), at(), 7),
    ],
)
def test_the_rate_follows_weekday_and_hour(schedule: Schedule, moment: float, rate: int | None) -> None:
    assert schedule.rate_at(moment) == rate


def test_hours_are_those_of_the_schedules_time_zone() -> None:
    east = Schedule(1000, OFFICE.windows, timezone(timedelta(hours=9)))
    assert east.rate_at(at(hours=0)) == 10
    assert east.rate_at(at(hours=9)) == 1000


def test_the_first_window_that_covers_the_moment_counts() -> None:
    both = Schedule(None, (Window(time(8), time(9), 1), Window(time(0), time(0), 2)))
    assert [both.rate_at(at(hours=hour)) for hour in (7, 8, 9)] == [2, 1, 2]


@pytest.mark.parametrize(("days", "rate"), [({7}, 1), ({0}, -1)])
def test_a_window_that_makes_no_sense_is_refused(days: set[int], rate: int) -> None:
    with pytest.raises(Refused):
        Window(time(1), time(2), rate, frozenset(days))


def test_without_a_limit_nobody_waits() -> None:
    clock = SetClock()
    throttle = Throttle(clock)
    throttle.spend(1 << 40, no_cancel)
    assert clock.monotonic() == SetClock().monotonic()


def test_the_mean_over_many_units_is_the_rate() -> None:
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(1000))
    for _ in range(100):
        throttle.spend(700, no_cancel)
    assert clock.now() - at() == pytest.approx(70, abs=1.5)


def test_a_silence_earns_no_more_than_one_second() -> None:
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(1000))
    clock.sleep(3600)
    before = clock.now()
    throttle.spend(11_000, no_cancel)
    assert clock.now() - before == pytest.approx(10, abs=0.01)


def test_all_transfers_of_a_line_share_its_rate() -> None:
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(1000))

    def transfer() -> None:
        for _ in range(10):
            throttle.spend(500, no_cancel)

    together("line", [transfer] * 4, lambda _: None)
    # The clock of a test is slept on by all four at once, so time passes up to four times as fast.
    assert 20_000 / 1000 - 1.5 <= clock.now() - at() <= 4 * 20.0


def test_a_window_that_opens_while_waiting_is_obeyed() -> None:
    clock = SetClock(at(hours=7, minutes=59, seconds=50))
    throttle = Throttle(clock, Schedule(1, (Window(time(8), time(9), 1000),)))
    throttle.spend(5000, no_cancel)
    assert clock.now() == pytest.approx(at(hours=8, seconds=5), abs=1.5)


def test_a_line_that_is_closed_holds_back_everybody_until_it_opens() -> None:
    clock = SetClock(at(hours=7))
    throttle = Throttle(clock, Schedule(None, (Window(time(6), time(8), 0),)))
    throttle.spend(0, no_cancel)
    assert clock.now() == pytest.approx(at(hours=8), abs=1)


def test_a_changed_schedule_rules_over_those_who_wait_already() -> None:
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(1))
    naps = iter(range(1000))

    def change_after_ten_naps() -> None:
        if next(naps) == 10:
            throttle.change(Schedule(None))

    throttle.spend(1_000_000, change_after_ten_naps)
    assert clock.now() - at() < 10


def test_a_cancel_ends_the_wait() -> None:
    clock, cancel = SetClock(at()), Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        Throttle(clock, Schedule(1)).spend(1000, partial(cancel.check))
    assert clock.now() == at()


def test_those_who_share_a_line_have_equal_parts_of_it_and_what_one_leaves_the_others_get() -> None:
    """R-R-4: one sends a lot, one as much as its part, one little; the line is never idle."""
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(900))
    sent = dict.fromkeys(("much", "fair", "little"), 0)
    wants = {"much": 100_000, "fair": 400, "little": 100}
    throttle.owe(900)  # the burst
    clock.time += 1.0
    for _ in range(100):
        for payer, count in wants.items():
            if throttle._charge(0, payer) == 0.0 and sent[payer] < count * 10:
                throttle.owe(100, payer)
                sent[payer] += 100
        clock.time += 0.1
    assert sent["little"] == 1000, "who needs less than its part never waits long"
    assert abs(sent["fair"] - 3500) <= 600
    assert abs(sum(sent.values()) - 9000) <= 900


def test_a_payer_with_many_threads_has_no_more_than_one_with_one() -> None:
    clock = SetClock(at())
    throttle = Throttle(clock, Schedule(1000))
    throttle.owe(1000)
    throttle.owe(8000, "eight threads")
    throttle.owe(1000, "one thread")
    clock.time += 3.0
    assert throttle._charge(0, "one thread") == 0.0
    assert throttle._charge(0, "eight threads") > 0.0
