from __future__ import annotations

import itertools
import random
import threading

import pytest

from bascule.drivers.objects.files.handles import Handles


class Doors:
    """Opens and closes numbers, and complains about closing what is not open."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.opened = 0
        self._numbers = itertools.count(100)
        self._lock = threading.Lock()

    def opener(self, key: str) -> int:
        if key == "absent":
            raise FileNotFoundError(key)
        with self._lock:
            self.opened += 1
            number = next(self._numbers)
            self.open[number] = key
            return number

    def closer(self, number: int) -> None:
        with self._lock:
            del self.open[number]


def test_a_descriptor_is_opened_once_while_it_is_kept() -> None:
    doors = Doors()
    handles = Handles(doors.opener, doors.closer, 2)
    for _ in range(3):
        with handles.lease("a") as fd:
            assert doors.open[fd] == "a"
    assert doors.opened == 1
    handles.close()
    assert doors.open == {}


def test_the_least_recently_used_goes_first() -> None:
    doors = Doors()
    handles = Handles(doors.opener, doors.closer, 2)
    for key in "abac":
        with handles.lease(key):
            pass
    assert sorted(doors.open.values()) == ["a", "c"]


def test_what_is_leased_stays_open_whatever_happens_to_its_key() -> None:
    doors = Doors()
    handles = Handles(doors.opener, doors.closer, 1)
    with handles.lease("a") as dropped:
        handles.drop("a")
        with handles.lease("a") as evicted:
            assert evicted != dropped
            with handles.lease("b") as closed:
                handles.close()
                assert {doors.open[fd] for fd in (dropped, evicted, closed)} == {"a", "b"}
    assert doors.open == {}


def test_a_failed_opening_leaves_nothing() -> None:
    doors = Doors()
    handles = Handles(doors.opener, doors.closer, 2)
    with pytest.raises(FileNotFoundError), handles.lease("absent"):
        pass
    assert doors.open == {}


def test_threads_never_see_a_closed_or_foreign_descriptor() -> None:
    doors = Doors()
    handles = Handles(doors.opener, doors.closer, 3)
    wrong: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            key = chance.choice("abcdefg")
            if chance.random() < 0.1:
                handles.drop(key)
            with handles.lease(key) as fd:
                if doors.open.get(fd) != key:
                    wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    handles.close()
    assert doors.open == {}
