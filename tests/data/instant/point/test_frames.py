from __future__ import annotations

import threading

from bascule.data.instant.point.frames import FrameCache, Openers
from lab.waiting import wait_until


def test_the_memory_that_was_used_last_is_used_next() -> None:
    openers = Openers(3)
    first, second = openers.take(), openers.take()
    openers.give_back(first)
    openers.give_back(second)
    assert openers.take() is second
    assert openers.take() is first


def test_whoever_comes_when_all_memory_is_in_use_waits_for_some() -> None:
    openers = Openers(1)
    mine = openers.take()
    got = []
    waiting = threading.Thread(target=lambda: got.append(openers.take()))
    waiting.start()
    waiting.join(0.05)
    assert not got
    openers.give_back(mine)
    waiting.join(20)
    assert got == [mine]


def test_work_that_stood_aside_goes_on_when_the_last_guest_has_what_it_asked_for() -> None:
    cache, went_on = FrameCache(), threading.Event()
    cache.guest_comes()

    def work() -> None:
        cache.step_aside(60)
        went_on.set()

    aside = threading.Thread(target=work)
    aside.start()
    wait_until(lambda: cache._aside == 1)
    assert not went_on.is_set()
    cache.guest_goes()
    assert went_on.wait(20)
    aside.join(20)
    cache.close()
