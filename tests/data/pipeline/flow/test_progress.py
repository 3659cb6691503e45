from __future__ import annotations

from bascule.data.pipeline.flow.crew import together
from bascule.data.pipeline.flow.progress import REPORT_SECONDS, WINDOW_SECONDS, Meter, Progress
from bascule.drivers.objects.memory import SetClock


def test_the_observer_hears_sums_rate_and_time_left() -> None:
    clock, heard = SetClock(), list[Progress]()
    meter = Meter(clock, heard.append)
    meter.expect(600)
    clock.sleep(2)
    meter.add(200, 50)
    assert heard == [Progress(200, 600, 50, 2.0, 100.0, 4.0)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = SetClock()
    meter = Meter(clock)
    meter.expect(10_000)
    meter.add(5000)
    for _ in range(20):
        clock.sleep(1)
        meter.add(10)
    assert abs(meter.finish().rate_bytes - 10) < 0.01 + 10 / WINDOW_SECONDS


def test_the_observer_is_told_a_few_times_a_second_and_at_the_end() -> None:
    clock, heard = SetClock(), list[Progress]()
    meter = Meter(clock, heard.append)
    for _ in range(1000):
        meter.add(1)
        clock.sleep(REPORT_SECONDS / 10)
    assert 90 <= len(heard) <= 101
    meter.finish()
    assert heard[-1].done_bytes == 1000


def test_before_anything_moved_the_time_left_is_unknown() -> None:
    clock = SetClock()
    meter = Meter(clock)
    meter.expect(10)
    clock.sleep(1)
    assert meter.finish().seconds_left is None


def test_a_source_that_grew_never_shows_more_done_than_there_is() -> None:
    clock = SetClock()
    meter = Meter(clock)
    meter.expect(10)
    clock.sleep(1)
    meter.add(20)
    last = meter.finish()
    assert (last.done_bytes, last.total_bytes, last.seconds_left) == (20, 20, 0.0)


def test_progress_never_goes_back_however_many_threads_report() -> None:
    clock, heard = SetClock(), list[Progress]()
    meter = Meter(clock, heard.append)

    def work() -> None:
        for _ in range(500):
            clock.sleep(REPORT_SECONDS)
            meter.add(3, 1)

    together("meter", [work] * 4, lambda _: None)
    done = [progress.done_bytes for progress in heard]
    assert done == sorted(done)
    assert meter.finish() == Progress(6000, 6000, 2000, *_rest(meter))


def _rest(meter: Meter) -> tuple[float, float, float | None]:
    last = meter.finish()
    return last.elapsed_seconds, last.rate_bytes, last.seconds_left
