"""Pairs of long operations, one stopped at the worst place while the other runs (docs/interactions.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bascule.data.store import BLOCK, DiskKey, KeyFile
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Fenced, Refused, Unavailable
from bascule.model.retention import Ladder
from bascule.ports.objects import ObjectInfo
from tests.data.store.scene import GROUP, KEY, TINY, Scene, block_of, disk_content

DISK = DiskKey("web", "a")
BLOCKS = 12
FAR_AWAY = 4_000_000_000


class Meanwhile(MemoryStore):
    """A store where something else happens right before a create, a listing or a delete."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[tuple[str, str], Callable[[], None]] = {}

    def before(self, verb: str, prefix: str, act: Callable[[], None]) -> None:
        self._waiting[verb, prefix] = act

    def _happen(self, verb: str, name: str) -> None:
        for waiting in list(self._waiting):
            if waiting[0] == verb and name.startswith(waiting[1]):
                self._waiting.pop(waiting)()

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self._happen("create", name)
        super().create(name, data)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._happen("list", prefix)
        return super().list(prefix, after)


@pytest.fixture
def scene() -> Scene:
    """Two points, each half of the disk."""
    scene = Scene(objects=Meanwhile()).init()
    with scene.writer() as writer:
        scene.point(writer, {i: i + 1 for i in range(0, BLOCKS, 2)})
        scene.point(writer, {i: i + 1 for i in range(1, BLOCKS, 2)})
    return scene


def meanwhile(scene: Scene) -> Meanwhile:
    assert isinstance(scene.objects, Meanwhile)
    return scene.objects


def key_ids(scene: Scene) -> list[str]:
    listed = scene.vault.keys()
    return [key.id for key in listed]


@pytest.mark.parametrize("branch", ["a-branch", f"{GROUP}~orphan-1"])
def test_a_sweep_spares_what_a_base_and_its_branch_show_each_in_its_own_way(
    scene: Scene, branch: str
) -> None:
    base = scene.listed()[-1]
    with (
        scene.vault.branch((GROUP, base), branch, writer="test", tuning=scene.tuning) as writer,
        writer.cut(scene.machines()) as cut,
    ):
        lane = cut.lane()
        for block in range(4):
            lane.write(DISK, block * BLOCK, memoryview(block_of(90)))
        lane.close()
        cut.publish()
    with scene.writer() as writer:
        last = scene.point(writer, {i: 70 for i in range(6, 10)}).number
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.remove(GROUP, [n for n in scene.listed() if n != last])
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
    scene.check([last])
    with scene.vault.point(branch) as point:
        assert disk_content(point, DISK) == block_of(90) * 4 + scene.points[base][DISK][4 * BLOCK :]


def test_a_fenced_sweeper_takes_nothing_from_the_compaction_of_its_successor(scene: Scene) -> None:
    with scene.writer() as writer:
        last = scene.point(writer, dict.fromkeys(range(BLOCKS - 1), 50)).number
    ended = []
    with scene.vault.upkeep(writer="old") as old, scene.vault.upkeep(writer="new") as new:

        def sweep_late() -> None:
            with pytest.raises(Fenced, match="took over"):
                old.sweep()
            ended.append(True)

        new.remove(GROUP, [n for n in scene.listed() if n != last])
        meanwhile(scene).before("create", "upkeep/", sweep_late)
        new.compact()
    assert ended
    scene.reopen()
    scene.check([last])


def test_a_lock_taken_while_retention_decides_keeps_its_point(scene: Scene) -> None:
    first = scene.listed()[0]
    with scene.vault.upkeep(writer="test") as upkeep:
        meanwhile(scene).before("create", "upkeep/", lambda: scene.vault.lock(GROUP, first, FAR_AWAY))
        assert upkeep.remove(GROUP, [first]) == []
        upkeep.sweep()
    assert first in scene.listed()
    scene.check()


def test_a_lock_that_comes_after_the_announcement_is_told_so(scene: Scene) -> None:
    first, last = scene.listed()
    with scene.vault.upkeep(writer="test") as upkeep:
        late: list[str] = []

        def lock() -> None:
            with pytest.raises(Unavailable, match="about to remove"):
                scene.vault.lock(GROUP, first, FAR_AWAY)
            late.append("told")

        meanwhile(scene).before(
            "list", f"locks/{GROUP}/", lambda: meanwhile(scene).before("list", "locks/", lock)
        )
        assert upkeep.remove(GROUP, [first]) == [first]
    assert late
    assert scene.listed() == [last]


def test_a_session_that_died_while_deciding_leaves_points_lockable_to_the_next(scene: Scene) -> None:
    first = scene.listed()[0]
    with scene.vault.upkeep(writer="dies") as upkeep:
        upkeep._publish(replace(upkeep._following(), leaving={GROUP: (first,)}))
    with pytest.raises(Unavailable):
        scene.vault.lock(GROUP, first, FAR_AWAY)
    with scene.vault.upkeep(writer="next") as upkeep:
        scene.vault.lock(GROUP, first, FAR_AWAY)
        assert first not in upkeep.thin(GROUP, Ladder.parse("1s:1s"))
    assert first in scene.listed()


def test_two_who_remove_the_last_two_keys_leave_one(scene: Scene) -> None:
    scene.vault.add_key(KEY, KeyFile(bytes(32)))
    mine, yours = key_ids(scene)
    store = meanwhile(scene)
    yours_name = next(name for name in store.names("keys/") if name.endswith(yours))

    def other_deletes() -> None:
        store.delete([yours_name])

    # The other one has counted two keys as well, and deletes before I look whether any is left.
    store.before("list", "keys/", lambda: store.before("list", "keys/", other_deletes))
    with pytest.raises(Refused, match="only key"):
        scene.vault.remove_key(mine)
    assert key_ids(scene) == [mine]


def test_a_point_published_while_a_verification_lists_is_no_finding(scene: Scene) -> None:
    scene.tuning = replace(TINY, inline_bytes=0)
    with scene.writer() as writer:

        def publish() -> None:
            scene.point(writer, {i: 1000 + i for i in range(BLOCKS)})

        meanwhile(scene).before("list", "points/", publish)
        assert list(scene.vault.verify(full=True)) == []
    assert len(scene.listed()) == 3


@pytest.mark.parametrize("full", [False, True])
def test_what_a_compaction_moves_under_a_verification_is_no_finding(scene: Scene, full: bool) -> None:
    scene.tuning = replace(TINY, inline_bytes=0)
    with scene.writer() as writer:
        scene.point(writer, {i: 100 + i for i in range(BLOCKS)})
        last = scene.point(writer, dict.fromkeys(range(BLOCKS - 1), 50)).number
    with scene.vault.upkeep(writer="test") as upkeep:
        moved = []

        def compact() -> None:
            upkeep.remove(GROUP, [n for n in scene.listed() if n != last])
            moved.append(upkeep.compact().objects)
            upkeep.sweep()

        meanwhile(scene).before("list", "points/", compact)
        assert list(scene.reopen().verify(full=full)) == []
    assert moved[0]


def test_an_object_that_is_lost_is_still_found_lost_when_looked_at_twice(scene: Scene) -> None:
    scene.tuning = replace(TINY, inline_bytes=0)
    with scene.writer() as writer:
        scene.point(writer, {i: 100 + i for i in range(BLOCKS)})
    lost = scene.objects.names("segments/")[-1]
    scene.objects.tamper(lost, None)
    assert any(lost in finding.what for finding in scene.vault.verify())
