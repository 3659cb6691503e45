"""The power is cut at every put and delete of every long operation: no point is lost, none is half there."""

from __future__ import annotations

import pytest

from bascule.data.store.format.entries import Entry
from bascule.drivers.objects.memory import Crash, MemoryStore
from bascule.model.errors import Damaged
from tests.data.store.acts import ACTS, Act, goes_on, prepared, thins
from tests.data.store.scene import GROUP, Scene, disk_content


def _operations(act: Act) -> list[bool]:
    """What an act changes, one after the other: whether each took effect, or was refused as it should be."""
    scene = prepared()
    before = len(scene.objects.journal)
    act(scene)
    return [op.done for op in scene.objects.journal[before:] if op.verb in ("create", "delete")]


_DONE = {name: _operations(act) for name, act in ACTS.items()}
_CUTS = [
    (name, at, when)
    for name, done in _DONE.items()
    for at in range(1, len(done) + 1)
    for when in (("before", "after") if done[at - 1] else ("before",))
]


@pytest.mark.parametrize(("name", "at", "when"), _CUTS, ids=str)
def test_after_a_power_cut_every_listed_point_is_whole_and_work_goes_on(
    name: str, at: int, when: str
) -> None:
    scene = prepared()
    history = dict(scene.points)
    scene.objects.crash(at=at, when=when)
    with pytest.raises(Crash):
        ACTS[name](scene)
    _survive(scene, history)


def _survive(scene: Scene, before: dict[int, object]) -> None:
    scene.reopen(scene.objects.survivor())
    known = scene.listed()
    newest = known[-1]
    assert newest >= max(before), "a point that was published is gone"
    extra = [n for n in known if n not in scene.points]
    assert len(extra) <= 1, "a cut shows as a point only if all of it is there"
    # The oracle did not see the outcome of the very last put: a point that made it is whole all the same.
    scene.check(n for n in known if n in scene.points)
    assert list(scene.vault.verify(full=True)) == []
    if extra:
        with scene.vault.point(GROUP, extra[0]) as point:
            scene.now = {disk: bytearray(disk_content(point, disk)) for disk in point.disks()}
            scene.points[extra[0]] = {disk: bytes(content) for disk, content in scene.now.items()}
    goes_on(scene)


def test_the_history_that_is_cut_exercises_moves_and_layers() -> None:
    """The matrix above proves nothing if its acts do nothing."""
    scene = prepared()
    thins(scene)
    names = scene.objects.names()
    assert any(name.startswith("moved/") for name in names)
    assert any(name.startswith("segments/~upkeep/") for name in names)
    deep = [len(d.layers) for e in _entries(scene) for m in e.machines for d in m.disks]
    assert max(deep) >= 2
    assert min(map(len, _DONE.values())) >= 8


def _entries(scene: Scene) -> list[Entry]:
    log = scene.vault.log(GROUP)
    return [log.read(n).entry for n in log.numbers()]


def test_a_point_cut_short_does_not_exist() -> None:
    scene = prepared()
    name = next(iter(scene.objects.names(f"points/{GROUP}/")))
    whole = scene.objects.content(name)
    for length in range(0, len(whole), 97):
        store: MemoryStore = scene.objects.survivor()
        store.tamper(name, whole[:length])
        with pytest.raises(Damaged):
            scene.reopen(store).point(GROUP)
