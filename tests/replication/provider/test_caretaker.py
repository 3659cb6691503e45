from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from bascule.replication.provider.caretaker import Caretaker, tended

from .scenes import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.protect(retention="1m:all,10m:1m", idle_point_seconds=1)
    return made


@pytest.mark.slow
def test_points_are_thinned_by_their_policy_while_new_ones_are_made(scene: Scene) -> None:
    """R-RP-2."""
    item, care = scene.item(), Caretaker(scene.folder, scene.shop)
    for number in range(60):
        scene.write()
        scene.step(item)
        if number % 20 == 19:
            care.tend()
    points = scene.vault.points("web")
    ages = [points[-1].durable_at - point.durable_at for point in points]
    assert sum(age <= 60 for age in ages) >= 12
    assert sum(age > 60 for age in ages) <= 5
    (told,) = tended(scene.folder.path / "upkeep.json")
    assert (told.error, told.removed_points > 0) == ("", True)
    scene.must_be_replicated()


def test_a_group_that_was_taken_over_is_left_to_whoever_took_it(scene: Scene) -> None:
    item, care = scene.item(), Caretaker(scene.folder, scene.shop)
    scene.step(item)
    scene.vault.begin("web", writer="the other side").close()
    scene.write()
    scene.step(item)
    scene.step(item)
    care.tend()
    assert scene.vault.upkeep_state() is None


def test_a_store_that_is_away_is_said_and_waited_for(scene: Scene) -> None:
    scene.step(scene.item())

    def away() -> None:
        raise Unavailable("the store does not answer")

    scene.before_open = away
    care = Caretaker(scene.folder, scene.shop)
    care.tend()
    (told,) = tended(scene.folder.path / "upkeep.json")
    assert told.error == "the store does not answer"
