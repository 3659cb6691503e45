"""A group that was retired is gone, whenever the power was cut meanwhile, and its name is free."""

from __future__ import annotations

import pytest

from bascule.drivers.objects.memory import Crash
from bascule.model.errors import Fenced, Missing
from tests.data.store.acts import garbage, prepared
from tests.data.store.scene import GROUP, Scene, disk_content


def retires(scene: Scene) -> None:
    with scene.vault.upkeep(writer="test") as upkeep:
        assert upkeep.retire(GROUP)
        upkeep.sweep()


def assert_gone(scene: Scene) -> None:
    assert scene.vault.groups() == []
    assert scene.listed() == []
    with pytest.raises(Missing):
        scene.vault.peek(GROUP)
    assert list(scene.vault.verify(full=True)) == []
    assert garbage(scene) == []
    assert not [name for name in scene.objects.names() if name.startswith(f"segments/{GROUP}/")]


def begins_anew(scene: Scene) -> None:
    """A new session starts from nothing, and sees only what it wrote."""
    before = set(scene.points)
    scene.now = {disk: bytearray(len(content)) for disk, content in scene.now.items()}
    with scene.writer() as writer:
        assert [writer.disk_size(disk) for disk in scene.disks] == [None] * len(scene.disks)
        made = scene.point(writer, {2: 77})
    assert made.number not in before
    assert scene.listed() == [made.number]
    assert scene.vault.groups() == [GROUP]
    scene.check()
    assert list(scene.vault.verify(full=True)) == []


def test_a_group_that_was_retired_is_gone_and_its_name_is_free() -> None:
    scene = prepared()
    retires(scene)
    assert_gone(scene)
    retires(scene)
    assert_gone(scene)
    begins_anew(scene)
    begun = scene.vault.beginning(GROUP)
    assert begun is not None
    assert (begun.writer, begun.base) == ("test", None)
    retires(scene)
    assert_gone(scene)
    begins_anew(scene)


def test_who_wrote_a_group_that_was_retired_publishes_nothing_more() -> None:
    scene = prepared()
    sleeper = scene.writer()
    retires(scene)
    with pytest.raises(Fenced):
        scene.point(sleeper, {1: 5})
    sleeper.close()
    assert_gone(scene)


def test_what_is_locked_stays_with_its_group() -> None:
    scene = prepared()
    first = scene.listed()[0]
    scene.vault.lock(GROUP, first, scene.clock.now() + 100)
    with scene.vault.upkeep(writer="test") as upkeep:
        assert not upkeep.retire(GROUP)
        upkeep.sweep()
    assert scene.vault.groups() == [GROUP]
    assert first in scene.listed()
    scene.check()
    scene.clock.time += 200
    retires(scene)
    assert_gone(scene)


def test_a_reader_reads_on_and_a_branch_keeps_what_it_shows() -> None:
    scene = prepared()
    newest = scene.listed()[-1]
    wanted = scene.points[newest]
    with scene.vault.branch((GROUP, newest), "other", writer="test") as branch:
        branch.cut(scene.machines()).publish()
    with scene.vault.point(GROUP, newest) as point:
        retires(scene)
        assert {disk: disk_content(point, disk) for disk in point.disks()} == wanted
    assert scene.vault.groups() == ["other"]
    assert garbage(scene) == []
    with scene.vault.peek("other") as point:
        assert {disk: disk_content(point, disk) for disk in point.disks()} == wanted


def test_a_branch_may_take_the_name_of_a_group_that_was_retired() -> None:
    scene = prepared()
    newest = scene.listed()[-1]
    wanted = scene.points[newest]
    with scene.vault.branch((GROUP, newest), "other", writer="test") as branch:
        branch.cut(scene.machines()).publish()
    retires(scene)
    with scene.vault.peek("other") as point:
        base = ("other", point.info.number)
    with scene.vault.branch(base, GROUP, writer="back") as branch:
        assert branch.disk_size(next(iter(scene.disks))) is not None
        branch.cut(scene.machines()).publish()
    begun = scene.vault.beginning(GROUP)
    assert begun is not None
    assert begun.base == base
    with scene.vault.peek(GROUP) as point:
        assert {disk: disk_content(point, disk) for disk in point.disks()} == wanted
    assert list(scene.vault.verify(full=True)) == []


def _changes() -> int:
    scene = prepared()
    before = len(scene.objects.journal)
    retires(scene)
    return sum(op.verb in ("create", "delete") for op in scene.objects.journal[before:])


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_at_every_change_the_same_again_completes(when: str) -> None:
    changes, cuts = _changes(), 0
    for at in range(1, changes + 1):
        scene = prepared()
        scene.objects.crash(at=at, when=when)
        try:
            retires(scene)
        except Crash:
            cuts += 1
        scene.reopen(scene.objects.survivor())
        assert list(scene.vault.verify(full=True)) == []
        scene.check()
        retires(scene)
        assert_gone(scene)
        begins_anew(scene)
    assert cuts >= 10
