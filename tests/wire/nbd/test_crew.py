from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from bascule.wire.nbd.crew import Bounds, Crew, Hands
from lab.waiting import wait_until


class Work:
    """Work that waits for a gate, and remembers what it did."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started: list[int] = []
        self.done: list[int] = []
        self.deaths = 0

    def number(self, number: int) -> None:
        self.started.append(number)
        assert self.gate.wait(20)
        if number < 0:
            raise ZeroDivisionError
        self.done.append(number)

    def job(self, number: int) -> Callable[[], None]:
        return partial(self.number, number)

    def mourn(self) -> None:
        self.deaths += 1


def test_all_that_was_submitted_is_done_when_it_finishes() -> None:
    work = Work()
    work.gate.set()
    crew = Crew(work.mourn, Bounds(workers=3))
    for number in range(1000):
        crew.submit(work.job(number))
    crew.finish(10)
    assert sorted(work.done) == list(range(1000))
    assert work.deaths == 0


def test_threads_are_as_many_as_there_is_work_for() -> None:
    work = Work()
    crew = Crew(work.mourn, Bounds(workers=3))
    before = threading.active_count()
    crew.submit(work.job(1))
    assert threading.active_count() == before + 1
    for number in range(2, 9):
        crew.submit(work.job(number))
    wait_until(lambda: len(work.started) == 3)
    assert threading.active_count() == before + 3
    work.gate.set()
    crew.finish(10)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("bounds", "size"),
    [(Bounds(workers=1, requests=4), 0), (Bounds(workers=1, payload_bytes=4000), 1000)],
    ids=["requests", "bytes"],
)
def test_a_full_crew_keeps_the_next_request_waiting(bounds: Bounds, size: int) -> None:
    work = Work()
    crew = Crew(work.mourn, bounds)
    submitted: list[int] = []

    def submit() -> None:
        for number in range(20):
            crew.submit(work.job(number), size)
            submitted.append(number)

    submitting = threading.Thread(target=submit)
    submitting.start()
    wait_until(lambda: len(submitted) == 4)
    submitting.join(0.05)
    assert submitting.is_alive()
    assert len(submitted) == 4
    work.gate.set()
    submitting.join(10)
    crew.finish(10)
    assert work.done == list(range(20))


def test_a_payload_above_the_bound_is_taken_when_there_is_no_other() -> None:
    work = Work()
    work.gate.set()
    crew = Crew(work.mourn, Bounds(workers=1, payload_bytes=10))
    for number in range(5):
        crew.submit(work.job(number), 100)
    crew.finish(10)
    assert work.done == list(range(5))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_mourned_and_keeps_nobody_waiting() -> None:
    work = Work()
    crew = Crew(work.mourn, Bounds(workers=2, requests=2))
    crew.submit(work.job(-1))
    crew.submit(work.job(-2))
    submitting = threading.Thread(target=lambda: crew.submit(work.job(3)))
    submitting.start()
    work.gate.set()
    submitting.join(10)
    assert not submitting.is_alive()
    crew.finish(10)
    assert work.deaths == 2


def test_hands_are_wanted_while_a_core_is_free() -> None:
    hands = Hands(cores=2)
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with hands:
            inside.set()
            assert leave.wait(20)

    with hands:
        assert hands.are_wanted
        other = threading.Thread(target=work)
        other.start()
        assert inside.wait(20)
        assert not hands.are_wanted
        leave.set()
        other.join(20)
        assert hands.are_wanted
