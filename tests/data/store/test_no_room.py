"""The disk is full, or the store is away, in the middle of anything: nothing is lost, and it is said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from bascule.data.store import BLOCK, Cut, PointInfo, Vault
from bascule.data.store.upkeep import reserve
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import Verb
from bascule.model.errors import Fenced, Refused, Unavailable
from tests.data.store.acts import BLOCKS, Attempt, goes_on, prepared, thins, writes
from tests.data.store.scene import GROUP, KEY, Scene, block_of, disk_content, seeds

ACTS: dict[str, Callable[[Scene, Attempt], None]] = {"writer": writes, "upkeep": thins}
T = TypeVar("T")


def _journal(act: str) -> list[Verb]:
    """What an act asks of its store, one after the other."""
    scene = prepared()
    before = len(scene.objects.journal)
    ACTS[act](scene, lambda step: step())
    return [operation.verb for operation in scene.objects.journal[before:]]


_JOURNALS = {act: _journal(act) for act in ACTS}


# a full disk


class Disk:
    """A small file system, and a ballast that takes what is left of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raced_for = 0
        """How many of the next pieces of the reserve somebody else takes as soon as they are free."""
        self._stores: list[LocalStore] = []
        self._ballast = root / "ballast"

    def store(self, filled_at: int = 0) -> LocalStore:
        """Open the store on it; ``filled_at`` is which file it makes finds the disk full."""
        self._stores.append(LocalStore(self.root / "vault", system=FillsUp(self, filled_at)))
        return self._stores[-1]

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def fill(self) -> None:
        """Take all there is."""
        with open(self._ballast, "wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        self._ballast.unlink()


class FillsUp:
    """The system's calls, on a disk that somebody else fills right before the ``at``-th file is made."""

    def __init__(self, disk: Disk, at: int) -> None:
        self._disk = disk
        self._left = at

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            self._left -= 1
            if not self._left:
                self._disk.fill()
        return os.open(path, flags, mode, dir_fd=dir_fd)

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        os.unlink(path, dir_fd=dir_fd)
        if path.startswith("reserve/") and self._disk.raced_for:
            self._disk.raced_for -= 1
            self._disk.fill()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    root = tmp_path / "mounted"
    root.mkdir()
    # In memory, and exact: ext4 gives back what it held in reserve some time after it was full.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)], check=True, timeout=60)
    disk = Disk(root)
    yield disk
    disk.close()
    subprocess.run(["umount", str(root)], check=True, timeout=60)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def lay_out(scene: Scene, disk: Disk, filled_at: int = 0) -> None:
    """Put a scene that was made in memory on a disk, as it is, and go on with it there."""
    for info in scene.objects.list(""):
        path = disk.root / "vault" / info.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scene.objects.content(info.name))
        os.utime(path, (info.modified, info.modified))
    scene.reopen(disk.store(filled_at))


def thinned(numbers: list[int]) -> list[int]:
    """What ``thins`` leaves, all at once or not at all."""
    return [n for n in numbers if n % 3 == 0 or n == numbers[-1]]


class Crowded:
    """Takes each step; if there is no room for it, looks that nothing is lost, makes room, and goes on."""

    def __init__(self, scene: Scene, disk: Disk) -> None:
        self._scene = scene
        self._disk = disk
        self.errors: list[Unavailable] = []

    def __call__(self, step: Callable[[], T], /) -> T:
        try:
            return step()
        except Unavailable as error:
            self.errors.append(error)
            self.look()
            self._disk.free()
            return step()

    def look(self) -> None:
        """Open the vault on the full disk, as somebody in need would, and read all there is."""
        vault = Vault.open(self._disk.store(), KEY, ids=seeds(), clock=self._scene.clock)
        listed = [info.number for info in vault.points(GROUP)]
        known = list(self._scene.points)
        assert listed in (known, thinned(known))
        for number in listed:
            self._scene.check_point(vault.peek(GROUP, number))
        assert list(vault.verify(full=True)) == []


@needs_root
@pytest.mark.lab
@pytest.mark.parametrize(
    ("act", "at"),
    [(act, at) for act, verbs in _JOURNALS.items() for at in range(1, verbs.count("create") + 1)],
    ids=str,
)
def test_a_disk_that_is_full_loses_nothing_says_so_and_once_there_is_room_the_same_session_goes_on(
    disk: Disk, act: str, at: int
) -> None:
    scene = prepared()
    lay_out(scene, disk, at)
    crowded = Crowded(scene, disk)
    ACTS[act](scene, crowded)
    (error,) = crowded.errors
    assert error.code == "no-room"
    assert f"{disk.root}/vault/" in error.message
    assert "No space left" in error.message
    assert "free space" in error.cure
    assert act != "writer" or scene.listed() == list(scene.points)
    goes_on(scene)


@needs_root
@pytest.mark.lab
def test_a_sweep_gives_back_room_on_a_disk_that_is_full(disk: Disk) -> None:
    scene = prepared()
    lay_out(scene, disk)
    with scene.vault.upkeep(writer="test") as upkeep:
        upkeep.remove(GROUP, scene.listed()[:-1])
        disk.fill()
        with pytest.raises(Unavailable, match="No space left"):
            scene.vault.begin(GROUP, writer="test")
        assert upkeep.sweep().bytes > 5000
    with scene.writer() as writer:
        scene.point(writer, {3: 33})
    disk.free()
    goes_on(scene)


@needs_root
@pytest.mark.lab
def test_a_full_disk_has_no_room_for_a_pin_and_a_point_is_read_without_one(disk: Disk) -> None:
    scene = prepared()
    lay_out(scene, disk)
    disk.fill()
    with pytest.raises(Unavailable, match=f"{disk.root}/vault/pins/.*No space left") as raised:
        scene.vault.point(GROUP)
    assert "--no-pin" in raised.value.cure
    assert raised.value.code == "no-room"
    scene.check_point(scene.vault.peek(GROUP))
    assert not list(scene.objects.list("pins/"))


# a full disk with room in reserve


@pytest.fixture
def full(disk: Disk) -> Scene:
    """A vault that holds room in reserve, on a disk that is full."""
    scene = prepared()
    lay_out(scene, disk)
    scene.vault.keep_reserve()
    disk.fill()
    return scene


def use_up(scene: Scene, disk: Disk, number: int) -> None:
    """Pin a point until that fails, while somebody else takes all the room there is."""
    for _ in range(100):
        disk.fill()
        scene.vault.hold(GROUP, number, scene.vault.new_pin_id(), purpose="test").close()


def pieces_of(scene: Scene) -> int:
    return len(list(scene.objects.list("reserve/")))


@needs_root
@pytest.mark.lab
def test_upkeep_begins_thins_and_sweeps_on_a_full_disk_from_the_room_in_reserve_and_puts_it_back(
    disk: Disk, full: Scene
) -> None:
    assert pieces_of(full) == reserve.PIECES
    with full.vault.upkeep(writer="test") as upkeep:
        removed = upkeep.remove(GROUP, full.listed()[:-1])
        assert pieces_of(full) < reserve.PIECES
        disk.fill()  # somebody else is faster
        assert upkeep.sweep().bytes > 5000
    for number in removed:
        del full.points[number]
    full.vault.keep_reserve()
    assert pieces_of(full) == reserve.PIECES - 1, "what the other one took is not there"
    disk.free()
    full.vault.keep_reserve()
    assert pieces_of(full) == reserve.PIECES
    goes_on(full)


@needs_root
@pytest.mark.lab
def test_upkeep_that_another_one_races_for_each_piece_still_begins(disk: Disk, full: Scene) -> None:
    disk.raced_for = reserve.PIECES - 1
    full.vault.upkeep(writer="test").close()
    assert pieces_of(full) == 0


@needs_root
@pytest.mark.lab
def test_writers_get_nothing_of_the_reserve(full: Scene) -> None:
    with pytest.raises(Unavailable, match="No space left"):
        full.vault.begin(GROUP, writer="test")
    assert pieces_of(full) == reserve.PIECES


@needs_root
@pytest.mark.lab
def test_points_are_read_and_failed_over_on_a_full_disk_and_the_last_pieces_are_left_to_upkeep(
    disk: Disk, full: Scene
) -> None:
    number = full.listed()[-1]
    full.check_point(full.vault.point(GROUP))
    full.vault.begin(GROUP, writer="test", urgent=True).close()
    disk.fill()
    full.vault.branch((GROUP, number), "next", writer="test", urgent=True).close()
    with full.vault.begin("next", writer="test", urgent=True) as writer:
        disk.fill()
        writer.cut(full.machines()).publish()
    with full.vault.peek("next") as first:
        assert {disk: disk_content(first, disk) for disk in first.disks()} == full.points[number]
    with pytest.raises(Unavailable, match="No space left"):
        use_up(full, disk, number)
    assert pieces_of(full) == reserve.READERS_LEAVE
    full.vault.upkeep(writer="test").close()


# a store that does not answer


def asking_again(cut: Cut) -> PointInfo:
    """Publish, and after Unavailable ask once more, as whoever wants to know the outcome does."""
    try:
        return cut.publish()
    except Unavailable:
        return cut.publish()


class Patient:
    """Takes each step again in the same session, after the store was away for a moment."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __call__(self, step: Callable[[], T], /) -> T:
        try:
            return step()
        except (Unavailable, Refused) as error:
            if isinstance(error, Fenced):
                raise
            # A cut that failed before it could be published is refused, and names why.
            cause = error if isinstance(error, Unavailable) else error.__cause__
            assert "made to fail" in str(cause)
            self._scene.check()
            return step()


# Each request of a writer; of upkeep those that change something, and the listings it decides by.
_AWAY = [
    (act, at, when)
    for act, verbs in _JOURNALS.items()
    for at, verb in enumerate(verbs, 1)
    if act == "writer" or verb in ("create", "list", "delete")
    for when in (("before", "after") if verb in ("create", "delete") else ("before",))
]


@pytest.mark.parametrize(("act", "at", "when"), _AWAY, ids=str)
def test_a_store_that_is_away_for_any_one_request_loses_nothing_and_every_point_is_there_once(
    act: str, at: int, when: str
) -> None:
    scene = prepared()
    scene.publish = asking_again
    scene.objects.fail(at=at, when=when)
    if fenced := fenced_in(lambda: ACTS[act](scene, Patient(scene))):
        # Upkeep does not ask for an outcome again: what it wrote stands, and a new session goes on.
        assert (act, when) == ("upkeep", "after")
        assert "stored after all" in fenced
    known = list(scene.points)
    assert len(known) == {"writer": 19, "upkeep": 13}[act]
    assert scene.listed() == known or (act == "upkeep" and scene.listed() == thinned(known))
    goes_on(scene)


def fenced_in(act: Callable[[], None]) -> str:
    """Return how an act was fenced, if it was."""
    try:
        act()
    except Fenced as error:
        return error.message
    return ""


def test_a_point_given_up_in_doubt_fences_its_own_session_and_the_next_one_finds_it_whole() -> None:
    scene = prepared()
    kept = dict(scene.now)
    with scene.writer() as writer:
        scene.objects.fail("create", prefix="points/", when="after")
        with pytest.raises(Unavailable):
            scene.point(writer, {7: 77})
        with pytest.raises(Fenced, match="gave up, was stored after all"):
            scene.point(writer, {8: 88})
    assert scene.now == kept
    (doubtful,) = set(scene.listed()) - set(scene.points)
    disk = next(iter(scene.disks))
    kept[disk][7 * BLOCK : 8 * BLOCK] = block_of(77)
    scene.points[doubtful] = {disk: bytes(kept[disk])}
    goes_on(scene)


def test_uploads_that_fail_again_and_again_take_no_buffer_away() -> None:
    scene = prepared()
    with scene.writer() as writer:
        for _ in range(2 * scene.tuning.buffers):
            for act in ("create", "read"):
                scene.objects.fail(act, prefix="segments/")
                with pytest.raises(Unavailable):
                    scene.point(writer, {i: i + 5 for i in range(BLOCKS)})
                scene.objects.heal()
        scene.point(writer, {i: i + 5 for i in range(BLOCKS)})
    goes_on(scene)
