"""What is done to a vault while something goes wrong, and what must be possible afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Protocol, TypeVar

from bascule.data.store import BLOCK, DiskKey
from tests.data.store.scene import GROUP, Scene

Act = Callable[[Scene], None]
T = TypeVar("T")
# Few, for each of hundreds of cases reads them a hundred times; enough for several layers and pages.
BLOCKS = 24


class Attempt(Protocol):
    """How one step of an act is taken: once, or again after something went wrong."""

    def __call__(self, step: Callable[[], T], /) -> T: ...


def once(step: Callable[[], T]) -> T:
    return step()


def writes(scene: Scene, attempt: Attempt = once) -> None:
    changes = [{i: i + 40 for i in range(10)}, {i: 0 for i in range(5)}]
    changes += [{5 * i: i + 1, 11 + i: i + 2} for i in range(4)]
    with attempt(scene.writer) as writer:
        for change in changes:
            attempt(partial(scene.point, writer, change))


def thins(scene: Scene, attempt: Attempt = once) -> None:
    leaving = [n for n in attempt(scene.listed)[:-1] if n % 3]
    with attempt(partial(scene.vault.upkeep, writer="test")) as upkeep:
        attempt(partial(upkeep.remove, GROUP, leaving))
        attempt(upkeep.sweep)
        attempt(upkeep.compact)
        attempt(upkeep.sweep)


def thins_twice(scene: Scene) -> None:
    thins(scene)
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.remove(GROUP, scene.listed()[:-2])
        upkeep.sweep()
        upkeep.compact()


def reads(scene: Scene) -> None:
    scene.check()


ACTS: dict[str, Act] = {
    "writer": writes,
    "upkeep": thins,
    "two upkeep runs": thins_twice,
    "reader": reads,
}


def prepared() -> Scene:
    """A history with layers, inline points, erased blocks and enough dead frames to be worth moving."""
    return _made().copied()


@cache
def _made() -> Scene:
    scene = Scene(disks={DiskKey("web", "a"): BLOCKS * BLOCK + 100}).init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1000 for i in range(BLOCKS)})
        for i in range(1, 13):
            erased_or_not = 0 if i % 4 == 0 else i + 50
            scene.point(writer, {i % BLOCKS: i, i * 5 % BLOCKS: i + 100, i * 7 % BLOCKS: erased_or_not})
    return scene


def goes_on(scene: Scene) -> None:
    scene.now = {disk: bytearray(content) for disk, content in scene.points[scene.listed()[-1]].items()}
    with scene.writer() as writer:
        scene.point(writer, {0: 999})
        thins(scene)
        scene.point(writer, {1: 998})
    scene.check()
    assert list(scene.vault.verify(full=True)) == []
    assert garbage(scene) == []


def garbage(scene: Scene) -> list[str]:
    """What a last sweep still finds; there must be nothing."""
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
        found = upkeep._survey()
    alive = found.marks.alive
    dead = [info.name for info in found.segments if not alive(info.name)]
    return dead + [info.name for info in found.doomed()]
