from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.blocks.extents import Extent
from bascule.drivers.disks.faults import translated
from bascule.drivers.disks.raw import RawSink, RawSource
from bascule.model.errors import Damaged, Exists, Missing, Refused, Unavailable
from bascule.ports.disks import DiskSink, DiskSource
from tests.contracts.disks import (
    MIB,
    ODD_SIZES,
    DiskSinkContract,
    DiskSourceContract,
    NewDisk,
    OpenDisk,
    read,
    sample,
)


def sparse(path: Path, content: bytes) -> Path:
    """Write a file with holes where the content has whole pages of zeroes."""
    with path.open("wb") as file:
        file.truncate(len(content))
        for at in range(0, len(content), 4096):
            page = content[at : at + 4096]
            if any(page):
                file.seek(at)
                file.write(page)
    return path


class TestRawSource(DiskSourceContract):
    sizes = ODD_SIZES
    direct = False

    @pytest.fixture
    def open_disk(self, tmp_path: Path) -> Iterator[OpenDisk]:
        opened: list[DiskSource] = []

        def open_(content: bytes) -> DiskSource:
            path = sparse(tmp_path / f"{len(opened)}.raw", content)
            opened.append(RawSource(path, direct=self.direct))
            return opened[-1]

        yield open_
        for source in opened:
            source.close()

    def test_an_aligned_buffer_is_filled_to_an_odd_end(self, open_disk: OpenDisk) -> None:
        content = sample(MIB + 777)
        buffer = memoryview(mmap.mmap(-1, 2 * MIB))[: len(content)]
        open_disk(content).read_into(0, buffer)
        assert buffer == content


class TestRawSourceAroundTheCache(TestRawSource):
    direct = True


class TestRawSink(DiskSinkContract):
    sizes = ODD_SIZES
    direct = True

    @pytest.fixture
    def new_disk(self, tmp_path: Path) -> Iterator[NewDisk]:
        opened: list[DiskSink] = []

        def open_(size: int) -> DiskSink:
            opened.append(RawSink(tmp_path / f"{len(opened)}.raw", size, direct=self.direct))
            return opened[-1]

        def content() -> bytes:
            return (tmp_path / f"{len(opened) - 1}.raw").read_bytes()

        yield NewDisk(open_, content)
        for sink in opened:
            sink.close()


class TestRawSinkThroughTheCache(TestRawSink):
    direct = False


class TestRawSinkIntoWhatWasThere(DiskSinkContract):
    sizes = ODD_SIZES
    is_zeroed = False

    @pytest.fixture
    def new_disk(self, tmp_path: Path) -> NewDisk:
        path = tmp_path / "old.raw"

        def open_(size: int) -> DiskSink:
            path.write_bytes(b"old!" * (size // 4 + 1))
            os.truncate(path, size)
            return RawSink(path, size, existing="update")

        return NewDisk(open_, path.read_bytes)


def test_a_sink_leaves_holes_where_nothing_was_written_and_where_it_was_zeroed(tmp_path: Path) -> None:
    path = tmp_path / "sparse.raw"
    sink = RawSink(path, 64 * MIB)
    sink.write(8 * MIB, memoryview(b"\1" * 4 * MIB))
    sink.zero(Extent(9 * MIB, 3 * MIB))
    sink.flush()
    sink.close()
    assert path.stat().st_size == 64 * MIB
    assert path.stat().st_blocks * 512 <= MIB + 65536


def test_an_existing_file_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "old.raw"
    path.write_bytes(b"precious")
    with pytest.raises(Exists, match=r"old\.raw"):
        RawSink(path, 4096)
    assert path.read_bytes() == b"precious"


def test_an_existing_file_is_emptied_when_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "old.raw"
    path.write_bytes(b"old" * 3000)
    sink = RawSink(path, 4096, existing="replace")
    assert sink.is_zeroed
    sink.close()
    assert path.read_bytes() == bytes(4096)


def test_updating_needs_a_file_of_exactly_the_size(tmp_path: Path) -> None:
    path = tmp_path / "old.raw"
    with pytest.raises(Missing):
        RawSink(path, 4096, existing="update")
    path.write_bytes(bytes(5000))
    with pytest.raises(Refused, match=r"has 5000 bytes, the disk to write has 4096 .*exactly"):
        RawSink(path, 4096, existing="update")
    assert path.stat().st_size == 5000


def test_a_sink_that_cannot_be_prepared_leaves_no_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "huge.raw"
    with pytest.raises(Refused, match=r"huge.raw for \d+ bytes: file too large"):
        RawSink(path, 1 << 62)
    assert not path.exists()


@pytest.mark.parametrize("name", ["nothing.raw", "nothing/at/all.raw"])
def test_a_source_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Missing, match=r"nothing.*no such file or directory \(check the path\)"):
        RawSource(tmp_path / name)


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="neither a file nor a block device"):
        RawSource(tmp_path)
    with pytest.raises(Refused, match="/dev/null is neither"):
        RawSource("/dev/null")
    with pytest.raises(Refused, match="/dev/null is neither"):
        RawSink("/dev/null", 4096, existing="replace")
    with pytest.raises(Refused, match="name a disk, not a directory"):
        RawSink(tmp_path, 4096, existing="replace")


def test_a_file_that_shrinks_while_it_is_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(sample(MIB))
    source = RawSource(path)
    os.truncate(path, 5000)
    with pytest.raises(Damaged, match="ends at 5000, 1048576 bytes were there before"):
        read(source, 0, MIB)
    source.close()


def test_a_full_device_is_unavailable() -> None:
    expected = pytest.raises(Unavailable, match=r"write /dev/full: no space left.*\(free some space\)")
    with expected, translated("write /dev/full"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"1")
