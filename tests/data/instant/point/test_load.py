from __future__ import annotations

import threading

import pytest

from bascule.data.instant.point.load import Distance, Readers


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def took(distance: Distance, time: Time, seconds: float) -> None:
    def fetch() -> str:
        time.now += seconds
        return "fetched"

    assert distance.measured(fetch) == "fetched"


def test_a_store_is_far_until_it_was_quick() -> None:
    time = Time()
    distance = Distance(time)
    assert not distance.is_near
    took(distance, time, 0.0003)
    assert distance.is_near


def test_one_slow_frame_among_quick_ones_keeps_a_store_near_and_many_do_not() -> None:
    time = Time()
    distance = Distance(time)
    for _ in range(3):
        took(distance, time, 0.0003)
    took(distance, time, 0.010)
    assert distance.is_near
    for _ in range(3):
        took(distance, time, 0.010)
    assert not distance.is_near


def test_a_store_that_fails_is_far_until_it_was_quick_again() -> None:
    time = Time()
    distance = Distance(time)
    took(distance, time, 0.0003)

    def fail() -> None:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        distance.measured(fail)
    assert not distance.is_near
    took(distance, time, 0.0003)
    assert distance.is_near


def note_in_threads(readers: Readers, count: int) -> None:
    """Note readers of ``count`` threads that live at the same time."""
    together = threading.Barrier(count)

    def run() -> None:
        together.wait(30)
        readers.note()
        together.wait(30)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_readers_are_enough_when_as_many_as_there_are_cores_read_lately() -> None:
    time = Time()
    readers = Readers(3, time)
    note_in_threads(readers, 2)
    assert not readers.are_enough
    note_in_threads(readers, 3)
    assert readers.are_enough
    time.now += 1
    assert not readers.are_enough


def test_one_reader_counts_once() -> None:
    readers = Readers(2, Time())
    for _ in range(5):
        readers.note()
    assert not readers.are_enough


def test_readers_that_ended_are_forgotten() -> None:
    time = Time()
    readers = Readers(2, time)
    note_in_threads(readers, 20)
    time.now += 1
    assert not readers.are_enough
    assert not readers._seen
