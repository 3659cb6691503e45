from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

import pytest

from bascule.drivers.objects.files.writing import Writer, is_aligned
from tests.drivers.objects.files.disks import Recorder

MIB = 1 << 20


def written(path: Path, data: memoryview, system: object = os) -> bytes:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    Writer(system).write(fd, data)
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT
    os.close(fd)
    return path.read_bytes()


def writes(disk: Recorder) -> list[tuple[object, ...]]:
    return [entry[2:] for entry in disk.journal if entry[0] == "write"]


def test_memory_is_aligned_when_its_address_is_and_never_when_it_is_read_only() -> None:
    with mmap.mmap(-1, 3 * 4096) as buffer, memoryview(buffer) as view:
        assert is_aligned(view)
        assert is_aligned(view[4096:])
        assert not is_aligned(view[1:])
        assert not is_aligned(view.toreadonly())
        assert not is_aligned(view[:0])


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB - 1])
def test_small_files_are_written_buffered(tmp_path: Path, size: int) -> None:
    disk = Recorder()
    data = os.urandom(size)
    assert written(tmp_path / "f", memoryview(data), disk) == data
    assert writes(disk) == ([(0, size, False)] if size else [])


@pytest.mark.parametrize("tail", [0, 1, 4095])
def test_an_aligned_buffer_goes_straight_to_the_disk_but_for_its_tail(tmp_path: Path, tail: int) -> None:
    disk = Recorder()
    with mmap.mmap(-1, 9 * MIB + 4096) as buffer, memoryview(buffer) as view:
        view[:] = os.urandom(len(view))
        with view[: 9 * MIB + tail] as part:
            assert written(tmp_path / "f", part, disk) == bytes(part)
    assert writes(disk) == [(0, 9 * MIB, True)] + ([(9 * MIB, tail, False)] if tail else [])


def test_any_other_memory_goes_through_an_aligned_buffer(tmp_path: Path) -> None:
    disk = Recorder()
    data = os.urandom(9 * MIB + 5000)
    assert written(tmp_path / "f", memoryview(data)[1:], disk) == data[1:]
    whole = (len(data) - 1) // 4096 * 4096
    assert writes(disk) == [
        (0, 4 * MIB, True),
        (4 * MIB, 4 * MIB, True),
        (8 * MIB, whole - 8 * MIB, True),
        (whole, len(data) - 1 - whole, False),
    ]


class NoDirect(Recorder):
    """A file system that takes the flag and then refuses the write, as some do."""

    def pwrite(self, fd, data, offset):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return super().pwrite(fd, data, offset)


def test_a_file_system_that_refuses_o_direct_is_written_buffered_and_asked_once(tmp_path: Path) -> None:
    disk = NoDirect()
    writer = Writer(disk)
    data = os.urandom(2 * MIB + 17)
    for name in ("one", "two"):
        fd = os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT)
        writer.write(fd, memoryview(data))
        os.close(fd)
        assert (tmp_path / name).read_bytes() == data
    assert [entry[2:] for entry in disk.journal] == [(0, len(data), False)] * 2


class Stingy(Recorder):
    """Takes at most some pages at a time."""

    def pwrite(self, fd, data, offset):
        return super().pwrite(fd, data[: 100 * 4096], offset)


@pytest.mark.parametrize("offset", [0, 1])
def test_short_writes_are_continued(tmp_path: Path, offset: int) -> None:
    with mmap.mmap(-1, 2 * MIB) as buffer, memoryview(buffer) as view:
        view[:] = os.urandom(len(view))
        with view[offset:] as part:
            assert written(tmp_path / "f", part, Stingy()) == bytes(part)


def test_a_disk_that_takes_nothing_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    class Full(Recorder):
        def pwrite(self, fd, data, offset):
            return 0

    with pytest.raises(OSError, match="no more bytes"):
        written(tmp_path / "f", memoryview(b"x"), Full())
