"""Many items and few threads; a folder that fails; wishes that come and go while work is under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock
from bascule.model.items import State
from bascule.replication.provider.conductor import Conductor
from bascule.replication.provider.workshop import Workshop
from lab.waiting import wait_until

from .scenes import Scene


class Living(Scene):
    """A scene in which time passes by itself."""

    def __init__(self, room: Path, groups: tuple[str, ...] = ("web",)) -> None:
        super().__init__(room, groups)
        self.clock = SystemClock()  # the machines' and the provider's


@contextmanager
def conducted(scene: Scene, shop: Workshop | None = None) -> Iterator[None]:
    stop = threading.Event()
    shop = shop or scene.workshop()
    wait = lambda _seconds: stop.wait(0.02)  # noqa: E731 - as short as it is
    thread = threading.Thread(target=lambda: Conductor(scene.folder, shop).run(wait))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_many_items_share_few_threads_and_each_gets_its_turn(tmp_path: Path) -> None:
    names = tuple(f"m{number}" for number in range(30))
    scene = Living(tmp_path, names)
    for name in names:
        scene.protect(name, interval_seconds=1)
    with conducted(scene):
        wait_until(lambda: all(scene.facts(name).totals.idle_cycles >= 2 for name in names))
        assert threading.active_count() < 30


def test_a_first_copy_never_takes_the_last_thread(tmp_path: Path) -> None:
    scene = Living(tmp_path, ("big1", "big2", "big3", "small"))
    scene.protect("small", interval_seconds=1)
    stuck, is_stuck = threading.Event(), []

    def open_source(words: str):
        if scene.hosts["small"].images.get(words) is None:
            is_stuck.append(words)
            stuck.wait(30)
        return scene.open_source(words)

    shop = replace(scene.workshop(), open_source=open_source, threads=2)
    with conducted(scene, shop):
        wait_until(lambda: scene.facts("small").totals.cycles == 1)
        for name in ("big1", "big2", "big3"):
            scene.protect(name, interval_seconds=1)
        wait_until(lambda: bool(is_stuck))
        before = scene.facts("small").totals
        scene.write("small")
        wait_until(lambda: scene.facts("small").totals.cycles > before.cycles)
        assert len(is_stuck) == 1
        stuck.set()
        wait_until(lambda: all(scene.facts(name).totals.cycles for name in ("big1", "big2", "big3")))


def test_facts_that_cannot_be_written_end_nothing_and_are_written_again_later(tmp_path: Path) -> None:
    scene = Living(tmp_path, ("web", "db"))
    scene.protect("db", interval_seconds=1)
    item = scene.protect("web", interval_seconds=1)
    (item.path / "facts.json").mkdir()
    with conducted(scene):
        wait_until(lambda: scene.facts("db").totals.idle_cycles > 2)
        (item.path / "facts.json").rmdir()
        scene.wish("web", resync=0)
        wait_until(lambda: scene.facts("web").state is State.REPLICATING)


def test_a_group_that_is_wanted_again_at_once_is_not_removed_with_its_leftovers(tmp_path: Path) -> None:
    scene = Living(tmp_path)
    item = scene.protect(interval_seconds=1)
    with conducted(scene):
        wait_until(lambda: scene.facts().totals.cycles == 1)
        wanted = item.wish()
        assert wanted is not None
        for _ in range(20):
            again = replace(wanted, take_over=head(scene))
            item.change(lambda _: None)
            item.change(lambda _, again=again: again)
        wait_until(lambda: scene.facts().state is State.REPLICATING)
    assert item.wish() is not None


def head(scene: Scene) -> str:
    found = scene.vault.log("web").head()
    assert found is not None
    return found.entry.session
