from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from tests.contracts.objects import ObjectStoreContract, names, read_all, read_range
from tests.drivers.objects.files.disks import Recorder, failing


class TestLocalStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LocalStore]:
        store = LocalStore(tmp_path / "store", create=True)
        yield store
        store.close()


class TestLocalStoreWithDirectReads(TestLocalStore):
    many = 300

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LocalStore]:
        store = LocalStore(tmp_path / "store", create=True, direct_reads=True)
        yield store
        store.close()


def test_objects_are_plain_files_under_their_names(tmp_path: Path) -> None:
    LocalStore(tmp_path).create("points/g/1", b"content")
    path = tmp_path / "points/g/1"
    assert path.read_bytes() == b"content"
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_object_is_not_seen(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/b", b"x")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found/x").write_bytes(b"")
    (tmp_path / "a" / "new file").write_bytes(b"")
    (tmp_path / "a" / "link").symlink_to("/etc/hostname")
    (tmp_path / "linked").symlink_to("/etc")
    assert names(store) == ["a/b"]
    with pytest.raises(Missing):
        store.stat("a/link")
    with pytest.raises(Unavailable):
        store.read("a/link", 0, memoryview(bytearray(10)))


def test_an_object_and_a_folder_cannot_have_one_name(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/b", b"x")
    for name in ("a", "a/b/c"):
        with pytest.raises(Refused, match="name") as caught:
            store.create(name, b"y")
        assert not isinstance(caught.value, Exists)
    assert names(store) == ["a/b"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV])
def test_a_file_system_without_hard_links_is_refused_with_cause_and_cure(tmp_path: Path, number: int) -> None:
    store = LocalStore(tmp_path, system=failing(1, number, only="link"))
    with pytest.raises(Refused, match=r"makes no hard links.*ext4") as caught:
        store.create("a", b"x")
    assert os.strerror(number) in caught.value.message
    assert names(store) == []


def test_an_object_deleted_and_created_anew_by_another_process_is_read_anew(tmp_path: Path) -> None:
    store, other = LocalStore(tmp_path), LocalStore(tmp_path)
    for content in (b"one", b"two", b"three"):
        other.create("a/b", content)
        assert read_all(store, "a/b") == content
        other.delete(["a/b"])
        with pytest.raises(Missing):
            read_range(store, "a/b", 0, 10)


def test_more_objects_are_read_than_descriptors_are_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for i in range(300):
        store.create(f"{i}", b"%d" % i)
    for i in range(300):
        assert read_all(store, f"{i}") == b"%d" % i
    kept = [path for path in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(path)]
    assert len(kept) <= 256 + 2
    store.close()
    assert not [path for path in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(path)]


def test_folders_come_and_go_under_creators_without_harm(tmp_path: Path) -> None:
    stores = [LocalStore(tmp_path) for _ in range(3)]

    def churn(number: int) -> None:
        for i in range(60):
            stores[number].create(f"a/b/{number}-{i}", b"x")
            stores[number].delete([f"a/b/{number}-{i}"])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(churn, range(3))) == [None] * 3
    assert not (tmp_path / "a").exists()


def reads(disk: Recorder) -> list[tuple[object, ...]]:
    return [entry[2:] for entry in disk.journal if entry[0] == "read"]


def test_large_aligned_reads_go_past_the_page_cache_when_asked_for(tmp_path: Path) -> None:
    disk = Recorder()
    store = LocalStore(tmp_path, direct_reads=True, system=disk)
    content = os.urandom((1 << 20) + 777)
    store.create("a", content)
    with mmap.mmap(-1, 2 << 20) as buffer, memoryview(buffer) as view:
        assert store.read("a", 4096, view) == len(content) - 4096
        assert view[: len(content) - 4096] == content[4096:]
        assert reads(disk)[0] == (4096, 2 << 20, True)
        for offset, start, length in ((0, 1, 1 << 20), (1, 0, 1 << 20), (0, 0, 64 << 10)):
            disk.journal.clear()
            with view[start : start + length] as part:
                assert store.read("a", offset, part) == length
                assert part == content[offset : offset + length]
            assert reads(disk) == [(offset, length, False)]


def test_a_file_system_that_refuses_direct_reads_is_read_buffered(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, direct_reads=True, system=failing(1, errno.EINVAL, only="preadv"))
    content = os.urandom(1 << 20)
    store.create("a", content)
    with mmap.mmap(-1, 1 << 20) as buffer, memoryview(buffer) as view:
        for _ in range(2):
            assert store.read("a", 0, view) == len(content)
            assert view == content


def test_a_disk_that_fails_while_reading_is_unavailable_and_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, system=failing(1, errno.EIO, only="preadv"))
    store.create("a/b", b"x")
    with pytest.raises(Unavailable, match=f"{tmp_path}/a/b.*kernel log"):
        read_range(store, "a/b", 0, 1)


def test_a_store_stays_the_same_when_its_path_leads_elsewhere(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "disk", create=True)
    store.create("a", b"x")
    (tmp_path / "disk").rename(tmp_path / "moved")
    (tmp_path / "disk").mkdir()
    store.create("b", b"y")
    assert names(store) == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == []


def test_a_missing_root_is_missing_and_never_made_in_passing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="mounted"):
        LocalStore(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
