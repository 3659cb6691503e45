from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bascule.drivers.objects.files.claims import FOLDER, Claim, clean_up
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Refused
from tests.contracts.objects import read_all
from tests.drivers.objects.files.disks import Recorder


@pytest.fixture
def root(tmp_path: Path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def test_temporary_files_of_a_writer_at_work_are_left_alone(tmp_path: Path) -> None:
    writing, go_on = threading.Event(), threading.Event()

    class Slow(Recorder):
        def pwrite(self, fd, data, offset):
            writing.set()
            assert go_on.wait(30)
            return super().pwrite(fd, data, offset)

    store = LocalStore(tmp_path, system=Slow())
    thread = threading.Thread(target=store.create, args=("a", b"content"))
    thread.start()
    assert writing.wait(30)
    before = contents(tmp_path)
    assert len(before) == 2
    LocalStore(tmp_path).close()
    assert contents(tmp_path) == before
    go_on.set()
    thread.join()
    assert read_all(store, "a") == b"content"
    store.close()
    assert contents(tmp_path) == []


def test_temporary_files_without_a_claim_or_with_a_dead_one_go(tmp_path: Path, root: int) -> None:
    (tmp_path / FOLDER).mkdir()
    for name in ("1.0.lock", "1.0.1", "1.0.2", "2.0.7", "3.0.lock", "odd"):
        (tmp_path / FOLDER / name).write_bytes(b"x")
    alive = Claim(root, str(tmp_path))
    ours = alive.next_path()
    (tmp_path / ours).write_bytes(b"x")
    assert clean_up(root) == 4
    assert len(contents(tmp_path)) == 2
    assert (tmp_path / ours).exists()
    alive.close()
    assert clean_up(root) == 1
    assert contents(tmp_path) == []


def test_every_open_store_has_a_claim_of_its_own_from_its_first_write_on(tmp_path: Path) -> None:
    stores = [LocalStore(tmp_path) for _ in range(3)]
    assert not (tmp_path / FOLDER).exists(), "a reader writes nothing"
    for number, store in enumerate(stores):
        store.create(f"{number}", b"")
        assert len(contents(tmp_path)) == number + 1
    for store in stores:
        store.close()
        store.close()
    assert contents(tmp_path) == []


def test_a_claim_that_a_cleaner_took_in_the_instant_before_its_lock_is_made_again(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real = fcntl.flock
    taken = []

    def snatch_first(fd: int, operation: int) -> None:
        if not taken:
            taken.extend(contents(tmp_path))
            monkeypatch.setattr(fcntl, "flock", real)
            clean_up(root)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", snatch_first)
    claim = Claim(root, str(tmp_path))
    path = claim.next_path()
    assert taken
    assert contents(tmp_path) == [f"{path.removeprefix(FOLDER + '/').rpartition('.')[0]}.lock"]
    claim.close()


def test_a_file_system_that_ignores_case_is_refused(tmp_path: Path, root: int) -> None:
    (tmp_path / FOLDER.upper()).mkdir()
    with pytest.raises(Refused, match="upper case"):
        Claim(root, str(tmp_path)).next_path()
