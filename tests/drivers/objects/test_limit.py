from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from bascule.drivers.objects.limit import LimitedStore, Rate, Schedule
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.errors import Refused
from tests.contracts.objects import ObjectStoreContract

MONDAY = datetime(2025, 3, 3, tzinfo=UTC).timestamp()
HOUR = 3600.0


class TestLimitedStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> LimitedStore:
        schedule = Schedule(Rate(upload=50e6, download=50e6))
        return LimitedStore(MemoryStore(), SetClock(), schedule)

    def is_recent(self, modified: float) -> bool:
        return modified == SetClock().now()


def limited(schedule: Schedule, now: float = MONDAY) -> tuple[LimitedStore, SetClock]:
    clock = SetClock(now)
    return LimitedStore(MemoryStore(), clock, schedule), clock


def upload(store: LimitedStore, count: int, size: int) -> None:
    for _ in range(count):
        store.create(f"o{len(list(store.list('')))}", bytes(size))


def test_uploads_keep_to_the_rate_on_average_whatever_their_size() -> None:
    for size in (10, 1000, 100_000):
        store, clock = limited(Schedule(Rate(upload=1000.0)))
        upload(store, 100, size)
        # The last one is not yet paid for.
        assert clock.time - MONDAY == pytest.approx(99 * size / 1000, rel=0.01)


def test_downloads_have_a_rate_of_their_own_and_pay_for_what_came() -> None:
    store, clock = limited(Schedule(Rate(download=100.0)))
    store.create("a", bytes(50))
    buffer = memoryview(bytearray(1000))
    for _ in range(11):
        assert store.read("a", 0, buffer) == 50
    assert clock.time - MONDAY == pytest.approx(10 * 50 / 100)
    upload(store, 10, 10_000)
    assert clock.time - MONDAY == pytest.approx(5.0), "uploads are free"


def test_without_a_limit_nobody_waits() -> None:
    store, clock = limited(Schedule())
    upload(store, 10, 1_000_000)
    assert clock.time == MONDAY


def test_time_without_transfers_saves_nothing_up() -> None:
    store, clock = limited(Schedule(Rate(upload=100.0)))
    clock.time += HOUR
    upload(store, 3, 100)
    assert clock.time == pytest.approx(MONDAY + HOUR + 2.0)


def test_working_hours_are_slow_and_the_others_fast() -> None:
    schedule = Schedule(Rate(upload=1000.0), Rate(upload=10.0), start=8, end=18, zone=UTC)
    for hour, rate in ((7.99, 1000.0), (8.0, 10.0), (17.99, 10.0), (18.0, 1000.0), (24 * 5 + 12, 1000.0)):
        assert schedule.at(MONDAY + hour * HOUR).upload == rate, hour


def test_hours_past_midnight_belong_to_the_day_they_start_on() -> None:
    friday_night = Schedule(Rate(), Rate(upload=1.0), start=22, end=6, days=frozenset({4}), zone=UTC)
    assert friday_night.at(MONDAY + (4 * 24 + 23) * HOUR).upload == 1.0
    assert friday_night.at(MONDAY + (5 * 24 + 5) * HOUR).upload == 1.0
    assert friday_night.at(MONDAY + (4 * 24 + 5) * HOUR).upload is None
    assert friday_night.at(MONDAY + (5 * 24 + 23) * HOUR).upload is None


def test_who_waits_when_the_slow_hours_end_goes_on_at_the_fast_rate() -> None:
    schedule = Schedule(Rate(upload=1e9), Rate(upload=1.0), start=8, end=18, zone=UTC)
    store, clock = limited(schedule, MONDAY + 18 * HOUR - 30)
    upload(store, 2, 10_000)
    assert clock.time == pytest.approx(MONDAY + 18 * HOUR, abs=1.01)


def test_a_changed_schedule_counts_at_once_also_for_those_who_wait() -> None:
    class Impatient(SetClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            store.change(Schedule())

    clock = Impatient(MONDAY)
    store = LimitedStore(MemoryStore(), clock, Schedule(Rate(upload=0.001)))
    upload(store, 5, 1000)
    assert clock.time - MONDAY <= 1.0


def test_threads_share_one_rate() -> None:
    clock = SetClock(MONDAY)
    lock = threading.Lock()

    class SharedClock(SetClock):
        def monotonic(self) -> float:
            return clock.time

        def sleep(self, seconds: float) -> None:
            with lock:
                clock.time += seconds / 10

    store = LimitedStore(MemoryStore(), SharedClock(), Schedule(Rate(upload=100.0)))
    threads = [
        threading.Thread(target=lambda i=i: [store.create(f"{i}/{j}", bytes(100)) for j in range(10)])
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.time - MONDAY >= 39 * 0.99


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_must_be_above_zero(rate: float) -> None:
    with pytest.raises(Refused):
        Rate(upload=rate)
