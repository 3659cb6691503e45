"""A writer falls asleep between any two of its operations, and wakes when the world has moved on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import pytest

from bascule.data.store import BLOCK, DiskKey, Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import BasculeError, Damaged, Fenced, Missing
from bascule.ports.objects import ObjectInfo
from tests.data.store.scene import GROUP, KEY, TINY, Scene, block_of, disk_content, seeds

A = DiskKey("web", "a")


class Sleeper:
    """A store as one process sees it; before its ``at``-th operation, ``meanwhile`` happens to the world."""

    def __init__(self, world: MemoryStore, at: int, meanwhile: Callable[[], None]) -> None:
        self._world = world
        self._left = at
        self._meanwhile = meanwhile
        self._guard = threading.RLock()
        self.operations = 0

    def _tick(self) -> None:
        with self._guard:
            self.operations += 1
            self._left -= 1
            if self._left == 0:
                self._meanwhile()

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self._tick()
        self._world.create(name, data)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        self._tick()
        return self._world.read(name, offset, buffer)

    def stat(self, name: str) -> ObjectInfo:
        self._tick()
        return self._world.stat(name)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._tick()
        return self._world.list(prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self._tick()
            self._world.delete([name])

    def close(self) -> None:
        self._world.close()


def _old_world() -> Scene:
    return _made().copied()


@cache
def _made() -> Scene:
    scene = Scene(disks={A: 20 * BLOCK}).init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 300 for i in range(20)})
        for i in range(1, 8):
            scene.point(writer, {i: i, i * 3 % 20: i + 10})
    return scene


def _an_hour_passes(scene: Scene) -> None:
    """Another writer takes over, works, and retention frees the very numbers a sleeper may aim at."""
    with scene.writer() as writer:
        for i in range(1, 7):
            scene.clock.time += 600
            scene.point(writer, {i + 3: i + 50, i * 7 % 20: i + 70})
    with scene.vault.upkeep(writer="meanwhile") as upkeep:
        listed = scene.listed()
        upkeep.remove(GROUP, listed[1:-1])
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()


def _sleepy(scene: Scene, at: int) -> tuple[Vault, Sleeper]:
    sleeper = Sleeper(scene.objects, at, lambda: _an_hour_passes(scene))
    return Vault.open(sleeper, KEY, ids=seeds(), clock=scene.clock), sleeper


def _writes(vault: Vault, scene: Scene) -> int:
    with vault.begin(GROUP, writer="sleeper", tuning=TINY) as writer, writer.cut(scene.machines()) as cut:
        lane = cut.lane()
        for number in range(6):
            lane.write(A, number * BLOCK, block_of(900 + number))
        lane.close()
        return cut.publish().number


def _upkeeps(vault: Vault, scene: Scene) -> int:
    with vault.upkeep(writer="sleeper") as upkeep:
        listed = [info.number for info in vault.points(GROUP)]
        upkeep.remove(GROUP, [n for n in listed[:-1] if n % 2])
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
    return -1


def _reads(vault: Vault, scene: Scene) -> int:
    number = sorted(scene.points)[3]
    with vault.point(GROUP, number) as point:
        assert disk_content(point, A) == scene.points[number][A]
    return -1


ACTS = {"writer": _writes, "upkeep": _upkeeps, "reader": _reads}


def _length(act: Callable[[Vault, Scene], int]) -> int:
    scene = _old_world()
    vault, sleeper = _sleepy(scene, -1)
    sleeper.operations = 0
    act(vault, scene)
    return sleeper.operations


_OPENING = 4  # operations of Vault.open: the format, the list of keys, a key, and no more
_NAPS = [(name, at) for name, act in ACTS.items() for at in range(_OPENING, _OPENING + _length(act))]


@pytest.mark.parametrize(("name", "at"), _NAPS, ids=str)
def test_a_sleeper_that_wakes_in_another_world_harms_nothing(name: str, at: int) -> None:
    scene = _old_world()
    vault, _ = _sleepy(scene, at)
    published = -1
    # A reader may find its point gone; nobody may find wrong bytes, which the oracle would see.
    with contextlib.suppress(Fenced, *((Missing, Damaged) if name == "reader" else ())):
        published = ACTS[name](vault, scene)
    listed = scene.listed()
    if published >= 0:
        assert published in listed, "a point that was reported as published is not there"
    expected = dict(scene.points)
    mine = [n for n in listed if n not in expected]
    assert mine in ([], [published])
    scene.check(n for n in listed if n in expected)
    assert list(scene.vault.verify(full=True)) == []
    _works_on(scene, mine)


def _works_on(scene: Scene, mine: list[int]) -> None:
    newest = scene.listed()[-1]
    with scene.vault.point(GROUP, newest) as point:
        held = disk_content(point, A)
    if newest in mine:
        scene.points[newest] = {A: held}
    scene.now = {A: bytearray(held)}
    with scene.writer() as writer:
        scene.point(writer, {0: 5})
    with scene.vault.upkeep(writer="after") as upkeep:
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
    scene.check(n for n in scene.listed() if n in scene.points)
    assert list(scene.vault.verify(full=True)) == []


def test_of_racing_writers_each_number_has_one_winner() -> None:
    scene = Scene(disks={A: 20 * BLOCK}).init()
    won: list[tuple[int, int]] = []
    problems: list[BaseException] = []
    start = threading.Barrier(6)

    def race(value: int) -> None:
        start.wait()
        try:
            for _ in range(5):
                try:
                    writer = scene.vault.begin(GROUP, writer=f"racer {value}", tuning=TINY)
                    with writer, writer.cut(scene.machines()) as cut:
                        lane = cut.lane()
                        lane.write(A, 0, block_of(value))
                        lane.close()
                        won.append((cut.publish().number, value))
                except Fenced:
                    continue
        except BasculeError as error:
            problems.append(error)

    threads = [threading.Thread(target=race, args=(value,)) for value in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len({number for number, _ in won}) == len(won) > 0
    for number, value in won:
        with scene.vault.point(GROUP, number) as point:
            assert disk_content(point, A)[:BLOCK] == block_of(value)
    assert [number for number, _ in sorted(won)] == scene.listed()
    assert list(scene.vault.verify(full=True)) == []
