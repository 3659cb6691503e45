from __future__ import annotations

import os
import signal
import threading
from functools import partial

import pytest

from bascule.data.pipeline.flow.crew import Cancel, Shared, together
from bascule.data.pipeline.flow.queues import Channel, Closed
from bascule.model.errors import Cancelled, Unavailable


def nothing(_: BaseException) -> None:
    """Wake nobody."""


def test_all_tasks_run_and_no_thread_is_left() -> None:
    before, done = threading.active_count(), []
    together("crew", [partial(done.append, number) for number in range(5)], nothing)
    assert sorted(done) == list(range(5))
    assert threading.active_count() == before


def test_the_first_failure_wakes_the_others_and_is_the_one_that_is_raised() -> None:
    before, channel = threading.active_count(), Channel[int](1)

    def fail() -> None:
        raise Unavailable("the source went away")

    with pytest.raises(Unavailable, match="the source went away"):
        together("crew", [lambda: [*channel], lambda: [*channel], fail], channel.fail)
    assert threading.active_count() == before


def test_a_failure_that_is_no_exception_reaches_the_caller_too() -> None:
    channel: Channel[int] = Channel(1)

    def end() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        together("crew", [lambda: [*channel], end], channel.fail)


def test_stop_is_told_why() -> None:
    reasons: list[BaseException] = []
    with pytest.raises(ZeroDivisionError):
        together("crew", [lambda: 1 // 0], reasons.append)
    together("crew", [lambda: None], reasons.append)
    assert [type(reason) for reason in reasons] == [ZeroDivisionError, Closed]


def test_a_cancel_is_raised_by_check_and_only_once_asked_for() -> None:
    cancel = Cancel()
    cancel.check()
    cancel.request()
    with pytest.raises(Cancelled):
        cancel.check()


def test_threads_share_an_iterator_without_taking_an_item_twice() -> None:
    taken: list[int] = []
    shared = Shared(iter(range(2000)))
    together("crew", [lambda: taken.extend(shared)] * 4, nothing)
    assert sorted(taken) == list(range(2000))


def test_an_interrupt_of_the_caller_wakes_the_crew_and_leaves_no_thread() -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before, channel, reasons = threading.enumerate(), Channel[int](1), list[BaseException]()

    def stop(reason: BaseException) -> None:
        reasons.append(reason)
        channel.fail(reason)

    old = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            together("crew", [lambda: [*channel], lambda: os.kill(os.getpid(), signal.SIGUSR1)], stop)
    finally:
        signal.signal(signal.SIGUSR1, old)
    for thread in set(threading.enumerate()) - set(before):
        # An interrupt in the midst of a start leaves a thread that ends by itself.
        thread.join(10)
        assert not thread.is_alive()
    assert len(reasons) == 1
