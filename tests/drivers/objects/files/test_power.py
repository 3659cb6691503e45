"""What survives when the process, or the power, is cut at any step of a local create."""

from __future__ import annotations

import errno
import itertools
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import BasculeError, Exists, Unavailable
from tests.contracts.objects import names, read_all
from tests.drivers.objects.files.disks import Recorder, failing

REPOSITORY = Path(__file__).parents[4]
SMALL = b"small"
BIG = bytes(range(256)) * 8192 + b"a tail that fills no page"


def durable(journal: list[tuple[object, ...]]) -> dict[str, str]:
    """Replay a journal as the meanest disk would: only what was fsynced survives.

    Returns the entries that are left, each with what it leads to.
    """
    wanted: dict[str, str] = {}
    kept: dict[str, str] = {}
    for verb, *args in journal:
        path = str(args[0])
        if verb in ("mkdir", "make"):
            wanted[path] = f"{verb} {path}"
        elif verb in ("unlink", "rmdir"):
            wanted.pop(path)
        elif verb == "link":
            wanted[str(args[1])] = wanted[path]
        elif verb == "fsync":
            inside = {name for name in wanted | kept if name.rpartition("/")[0] == path}
            for name in inside:
                if name in wanted:
                    kept[name] = wanted[name]
                else:
                    del kept[name]
    return kept


def is_reachable(name: str, entries: dict[str, str]) -> bool:
    """Tell whether the whole chain of folders above a name survived with it."""
    steps = name.split("/")
    return all("/".join(steps[:count]) in entries for count in range(1, len(steps) + 1))


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_a_create_makes_bytes_durable_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, data: bytes
) -> None:
    disk = Recorder()
    LocalStore(tmp_path, system=disk).create("a/b/c", data)
    temporary = str(disk.journal[0][1])
    assert temporary.startswith("+incoming/")
    assert [entry for entry in disk.journal if entry[0] != "write"] == [
        ("make", temporary),
        ("fsync", temporary),
        ("mkdir", "a"),
        ("fsync", ""),
        ("mkdir", "a/b"),
        ("fsync", "a"),
        ("link", temporary, "a/b/c"),
        ("unlink", temporary),
        ("fsync", "a/b"),
    ]
    writes = [index for index, entry in enumerate(disk.journal) if entry[0] == "write"]
    assert max(writes) < disk.journal.index(("fsync", temporary))
    assert is_reachable("a/b/c", durable(disk.journal))


def test_every_object_that_was_created_survives_the_meanest_disk(tmp_path: Path) -> None:
    disk = Recorder()
    store = LocalStore(tmp_path, system=disk)
    for name in ("a/1", "a/2", "top", "a/b/c/1", "x/y/1"):
        store.create(name, SMALL)
        assert is_reachable(name, durable(disk.journal)), name


def test_a_folder_that_others_removed_and_made_again_is_synced_again(tmp_path: Path) -> None:
    disk = Recorder()
    store, other = LocalStore(tmp_path, system=disk), LocalStore(tmp_path)
    store.create("a/b/1", SMALL)
    other.delete(["a/b/1"])
    assert not (tmp_path / "a").exists(), "empty folders go"
    (tmp_path / "a/b").mkdir(parents=True)  # By somebody who is killed before syncing it.
    start = len(disk.journal)
    store.create("a/b/2", SMALL)
    assert {("fsync", ""), ("fsync", "a"), ("fsync", "a/b")} <= set(disk.journal[start:])


def test_who_is_told_exists_has_made_the_other_ones_object_durable(tmp_path: Path) -> None:
    victim = LocalStore(tmp_path, system=failing(2, only="fsync"))
    with pytest.raises(Unavailable):
        victim.create("a", SMALL)
    assert read_all(victim, "a") == SMALL, "linked, and its folder not synced"
    disk = Recorder()
    with pytest.raises(Exists):
        LocalStore(tmp_path, system=disk).create("a", SMALL)
    assert ("fsync", "") in disk.journal


def test_deletions_are_durable_and_synced_once_for_each_folder(tmp_path: Path) -> None:
    disk = Recorder()
    store = LocalStore(tmp_path, system=disk)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2"):
        store.create(name, SMALL)
    start = len(disk.journal)
    store.delete(["a/1", "a/2", "b/1", "b/2"])
    assert [entry for entry in disk.journal[start:] if entry[0] == "fsync"] == [
        ("fsync", "a"),
        ("fsync", "b"),
    ]
    assert {name for name in durable(disk.journal) if name.count("/")} == {"a/3"}


ZYGOTE = """
import json, os, sys
from bascule.drivers.objects.local import LocalStore
from tests.drivers.objects.files.disks import dying

base, size, half = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "half"
for step in range(1, 100):
    child = os.fork()
    if not child:
        store = LocalStore(f"{base}/{step}", create=True, system=dying(step, half))
        store.create("points/g/1", bytes(range(256)) * (size // 256) + b"tail")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(json.dumps(step))
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 2 << 20], ids=["small", "big"])
@pytest.mark.parametrize("half", ["before", "half"])
def test_a_kill_at_any_step_shows_no_part_of_an_object_and_leaves_nothing(
    tmp_path: Path, size: int, half: str
) -> None:
    command = [sys.executable, "-c", ZYGOTE, str(tmp_path), str(size), half]
    steps = json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout)
    assert steps > 12, "the create got through before it was killed at all its steps"
    content = bytes(range(256)) * (size // 256) + b"tail"
    seen = []
    for step in range(1, steps):
        root = tmp_path / str(step)
        assert list((root / "+incoming").glob("*.lock")), "the dead one's claim is still there"
        store = LocalStore(root)
        assert list((root / "+incoming").iterdir()) == []
        seen.append(names(store))
        assert seen[-1] in ([], ["points/g/1"])
        if not seen[-1]:
            store.create("points/g/1", content)
        assert read_all(store, "points/g/1") == content
        store.close()
    assert seen == sorted(seen), "once it is there it stays"
    assert seen[0] == []
    assert seen[-1] == ["points/g/1"]


@pytest.mark.lab
def test_creators_in_several_processes_win_each_name_once(tmp_path: Path) -> None:
    racer = """
import sys
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Exists
store = LocalStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for i in range(100):
    try:
        store.create(f"g/{i}", sys.argv[2].encode())
        print(i)
    except Exists:
        pass
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", racer, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for one in racers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    won = [one.communicate("go\n")[0].split() for one in racers]
    assert sorted(map(int, itertools.chain(*won))) == list(range(100))
    store = LocalStore(tmp_path)
    for number, mine in enumerate(won):
        assert all(read_all(store, f"g/{i}") == str(number).encode() for i in mine)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of names, no paths are wanted


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE])
def test_an_error_at_any_step_names_path_and_cure_and_leaves_nothing_half_done(
    tmp_path: Path, number: int
) -> None:
    for step in range(1, 100):
        root = tmp_path / str(step)
        before = open_descriptors()
        disk = failing(step, number)
        store = LocalStore(root, create=True, system=disk)
        outcome: BasculeError | None = None
        try:
            store.create("a/b", BIG)
        except BasculeError as error:
            outcome = error
        if outcome is not None:
            assert str(root / "a/b") in outcome.message
            assert outcome.cure
            assert isinstance(outcome, Unavailable) == (number != errno.EROFS)
        store.close()
        assert open_descriptors() == before, f"step {step} leaks a descriptor"
        again = LocalStore(root)
        assert list((root / "+incoming").iterdir()) == []
        if names(again):
            assert read_all(again, "a/b") == BIG
        again.close()
        if not disk.struck:
            break
    assert step > 12
    assert outcome is None


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, system=failing(1, errno.ENOSPC, only="pwrite"))
    with pytest.raises(Unavailable, match=f"{tmp_path}/a.*free space") as caught:
        store.create("a", SMALL)
    assert caught.value.code == "no-room"
    assert [path.suffix for path in (tmp_path / "+incoming").iterdir()] == [".lock"], "the room is given back"
    store.create("a", SMALL)


def test_a_temporary_file_that_others_removed_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    class Swept(Recorder):
        def link(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None):
            for path in (tmp_path / "+incoming").glob("*[0-9]"):
                path.unlink()
            super().link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    with pytest.raises(Unavailable, match="cleans up inside the store"):
        LocalStore(tmp_path, system=Swept()).create("a/b", SMALL)
    assert not (tmp_path / "a/b").exists()


def test_a_whole_page_aligned_object_needs_no_second_write(tmp_path: Path) -> None:
    disk = Recorder()
    with mmap.mmap(-1, 2 << 20) as buffer:
        LocalStore(tmp_path, system=disk).create("a", memoryview(buffer))
    assert [entry[2:] for entry in disk.journal if entry[0] == "write"] == [(0, 2 << 20, True)]
