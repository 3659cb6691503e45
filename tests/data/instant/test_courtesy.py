from __future__ import annotations

from collections.abc import Callable

import pytest

from bascule.data.instant.courtesy import Courtesy, Traffic


class World:
    """A guest that does what a test says, on a clock that only waiting moves."""

    def __init__(self, settling_seconds: float = 30) -> None:
        self.time = 100.0
        self.traffic = Traffic()
        self.guest: Callable[[float], bool] = lambda _: False
        self.stood_aside: list[float] = []
        self.courtesy = Courtesy(
            self.traffic, self.stood_aside.append, lambda: self.time, settling_seconds=settling_seconds
        )

    def wait(self, seconds: float) -> None:
        self.time += seconds
        self.traffic.asked += self.guest(self.time - 100)

    def settles_after(self) -> float:
        self.courtesy.let_settle(self.wait)
        return self.time - 100

    def rests_after(self, seconds: float) -> float:
        def unit() -> None:
            self.wait(seconds)

        self.courtesy.work(unit, self.wait)
        return self.time - 100 - seconds


def test_nobody_waits_for_a_guest_that_is_not_expected() -> None:
    assert World(settling_seconds=0).settles_after() == 0


def test_a_guest_that_does_not_come_is_waited_for_a_moment() -> None:
    assert World().settles_after() == pytest.approx(2, abs=0.2)


def test_a_guest_that_boots_is_left_alone_until_it_has_come_to_rest() -> None:
    world = World()
    world.guest = lambda time: 1 < time < 9 and not 4 < time < 8
    assert world.settles_after() == pytest.approx(9 + 5, abs=0.3)


def test_a_guest_that_never_rests_has_half_a_minute() -> None:
    world = World()
    world.guest = lambda _: True
    assert world.settles_after() == pytest.approx(30, abs=0.2)
    assert world.settles_after() == pytest.approx(30, abs=0.2), "it waits once"


def test_who_copies_rests_four_times_as_long_as_it_worked_while_the_guest_asks() -> None:
    world = World()
    world.guest = lambda _: True
    assert world.rests_after(0.01) == pytest.approx(0.04)


def test_a_rest_has_an_end() -> None:
    world = World()
    world.guest = lambda _: True
    assert world.rests_after(3.0) == pytest.approx(0.25)


def test_who_copies_does_not_rest_beside_a_guest_that_asks_for_nothing() -> None:
    assert World().rests_after(0.01) == pytest.approx(0)


def test_a_read_that_waits_goes_before_the_next_unit() -> None:
    world = World()
    world.rests_after(0.01)
    assert world.stood_aside == [0.25]
