from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from bascule.model.errors import Damaged, Unavailable
from bascule.replication.replicator import Cycled
from bascule.replication.rhythm import Rhythm, keep_on


class Scene:
    """Time that only cycles and waiting spend, and a listener."""

    def __init__(self, *cycles: float | Exception) -> None:
        self.time = 0.0
        self.begun: list[float] = []
        self.heard: list[object] = []
        self._cycles = list(cycles)

    def cycle(self) -> Cycled:
        self.begun.append(self.time)
        outcome = self._cycles.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        self.time += outcome
        return cast(Cycled, outcome)

    def wait(self, seconds: float) -> bool:
        assert seconds >= 0
        self.time += seconds
        return not self._cycles

    def cycled(self, done: Cycled) -> None:
        self.heard.append(done)

    def failed(self, error: Unavailable, retry_seconds: float) -> None:
        self.heard.append((str(error), retry_seconds))

    def now(self) -> float:
        return self.time

    monotonic = now
    sleep: Callable[[float], None] = lambda *_: None

    def run(self, every: float, points: int | None = None) -> None:
        keep_on(self.cycle, Rhythm(every, points), self, self, self.wait)


def test_points_are_made_at_their_interval_however_long_each_takes() -> None:
    scene = Scene(1, 2, 0.5, 1)
    scene.run(5)
    assert scene.begun == [0, 5, 10, 15]


def test_a_cycle_that_takes_too_long_is_followed_at_once_and_none_is_made_up_for() -> None:
    scene = Scene(12, 1, 1)
    scene.run(5)
    assert scene.begun == [0, 12, 17]


def test_what_passes_is_tried_again_by_the_ladder_and_then_the_rhythm_goes_on() -> None:
    away = Unavailable("away")
    scene = Scene(1, away, away, 1, away, 1)
    scene.run(5)
    assert scene.begun == [0, 5, 65, 125, 130, 190]
    assert [heard for heard in scene.heard if isinstance(heard, tuple)] == [
        ("away", 60),
        ("away", 60),
        ("away", 60),
    ]


def test_what_does_not_pass_ends_it() -> None:
    scene = Scene(1, Damaged("broken"), 1)
    with pytest.raises(Damaged):
        scene.run(5)
    assert len(scene.begun) == 2


def test_it_ends_after_as_many_points_as_were_asked_for() -> None:
    scene = Scene(1, Unavailable("away"), 1, 1, 1)
    scene.run(5, points=3)
    assert len(scene.begun) == 4
