from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Barrier, Thread

import pytest

from bascule.data.pipeline.flow.queues import Channel, Closed

WAIT = 10


def test_items_come_out_in_the_order_they_went_in() -> None:
    channel: Channel[int] = Channel(3)
    for number in range(3):
        channel.put(number)
    channel.done()
    assert list(channel) == [0, 1, 2]


def test_put_waits_for_room_and_goes_on_when_there_is_some() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(channel.put, 2)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.05)
        assert channel.get() == 1
        second.result(WAIT)
    assert channel.get() == 2


def test_readers_end_only_after_the_last_producer_is_done() -> None:
    channel: Channel[int] = Channel(8, producers=2)
    channel.put(1)
    channel.done()
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, channel)
        with pytest.raises(TimeoutError):
            rest.result(timeout=0.05)
        channel.put(2)
        channel.done()
        assert rest.result(WAIT) == [1, 2]


def test_nothing_can_be_put_after_the_last_producer_is_done() -> None:
    channel: Channel[int] = Channel(8)
    channel.done()
    with pytest.raises(Closed):
        channel.put(1)


def test_a_failure_wakes_both_ends_and_tells_them_why() -> None:
    full: Channel[int] = Channel(1)
    full.put(1)
    empty: Channel[int] = Channel(1)
    reason = OSError("the disk is gone")
    with ThreadPoolExecutor(2) as pool:
        writing, reading = pool.submit(full.put, 2), pool.submit(empty.get)
        full.fail(reason)
        empty.fail(reason)
        for end in (writing, reading):
            failure = end.exception(WAIT)
            assert isinstance(failure, Closed)
            assert failure.__cause__ is reason


def test_a_failed_queue_hands_out_nothing_more_and_keeps_its_first_reason() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.fail(OSError("first"))
    channel.fail(OSError("second"))
    for call in (channel.get, channel.check, lambda: channel.put(2), lambda: list(channel)):
        with pytest.raises(Closed) as caught:
            call()
        assert str(caught.value.__cause__) == "first"


def test_many_producers_and_readers_lose_nothing_and_double_nothing() -> None:
    channel: Channel[int] = Channel(3, producers=4)
    start = Barrier(4)

    def produce(first: int) -> None:
        start.wait(WAIT)
        for number in range(first, 1000, 4):
            channel.put(number)
        channel.done()

    threads = [Thread(target=produce, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(list, channel) for _ in range(3)]
        assert sorted(chain.from_iterable(part.result(WAIT) for part in taken)) == list(range(1000))
    for thread in threads:
        thread.join(WAIT)
