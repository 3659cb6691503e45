"""Where a VHDX image has data: images that the real qemu-img made, and tables bent by hand."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bascule.blocks.extents import Extent
from bascule.drivers.disks.holes import vhdx
from bascule.drivers.disks.images import ImageSource

MIB = 1 << 20
GIB = 1 << 30
REGIONS = 192 << 10


def made(path: Path, size: int, writes: dict[int, int], options: str = f"block_size={MIB}") -> Path:
    """Make an image and write some bytes at some offsets."""
    commands = [word for at, length in writes.items() for word in ("-c", f"write -P 7 {at} {length}")]
    create = ["qemu-img", "create", "-q", "-f", "vhdx", "-o", options, str(path), str(size)]
    write = ["qemu-io", "-f", "vhdx", *commands, str(path)]
    for command in (create, write):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def extents_of(path: Path, size: int) -> list[Extent]:
    with opened(path) as fd:
        found = vhdx.layout(fd, size)
        assert found is not None
        return list(vhdx.data_extents(fd, found))


def test_blocks_that_are_there_are_told_also_behind_the_bitmaps_between_their_entries(tmp_path: Path) -> None:
    # A chunk is 4 GiB here: 4096 entries, then the one of a bitmap.
    size = 13 * GIB + MIB // 2
    writes = {3 * MIB: 1, 4 * MIB: 1, 4 * GIB - 1: 2, 8 * GIB + 5 * MIB: 1, size - 512: 512}
    assert extents_of(made(tmp_path / "disk", size, writes), size) == [
        Extent(3 * MIB, 2 * MIB),
        Extent(4 * GIB - MIB, 2 * MIB),
        Extent(8 * GIB + 5 * MIB, MIB),
        Extent(13 * GIB, MIB // 2),
    ]


def test_an_image_without_holes_is_data_all_over(tmp_path: Path) -> None:
    path = made(tmp_path / "disk", 3 * MIB, {0: 1}, "subformat=fixed")
    assert extents_of(path, 3 * MIB) == [Extent(0, 3 * MIB)]


def test_what_is_left_out_reads_as_zeroes(tmp_path: Path) -> None:
    path = made(tmp_path / "disk", 64 * MIB, {10 * MIB: MIB})
    with closing(ImageSource(path, "vhdx")) as source:
        assert list(source.extents()) == [Extent(10 * MIB, MIB)]
        content = bytearray(64 * MIB)
        source.read_into(0, memoryview(content))
    assert content == bytes(10 * MIB) + b"\7" * MIB + bytes(53 * MIB)


@pytest.mark.parametrize("state", range(8))
def test_only_states_that_stand_for_zeroes_are_holes(tmp_path: Path, state: int) -> None:
    path = made(tmp_path / "disk", 2 * MIB, {MIB: 1})
    with opened(path) as fd:
        found = vhdx.layout(fd, 2 * MIB)
    assert found is not None
    with path.open("r+b") as file:
        file.seek(found.table_at)
        file.write(struct.pack("<Q", state))
    first = Extent(0, 2 * MIB) if state > 3 else Extent(MIB, MIB)
    assert extents_of(path, 2 * MIB) == [first]
    if state <= 3:
        read = ["qemu-io", "-r", "-f", "vhdx", "-c", f"read -P 0 0 {MIB}", str(path)]
        said = subprocess.run(read, check=True, capture_output=True, timeout=60, text=True).stdout
        assert f"read {MIB}/{MIB}" in said
        assert "failed" not in said, "QEMU reads zeroes"


def bend(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    ("at", "data"),
    [
        (32, b"\xff" * 8),
        (0, b"xxxx"),
        (8, struct.pack("<I", 1 << 31)),
        (8, bytes(4)),
        (8, struct.pack("<I", 1)),
    ],
    ids=["far-away", "no-signature", "too-many", "none", "one-is-missing"],
)
def test_a_strange_table_of_regions_is_no_layout(tmp_path: Path, at: int, data: bytes) -> None:
    path = made(tmp_path / "disk", 2 * MIB, {})
    bend(path, REGIONS + at, data)
    with opened(path) as fd:
        assert vhdx.layout(fd, 2 * MIB) is None


def test_another_size_and_a_file_that_is_cut_off_are_no_layout(tmp_path: Path) -> None:
    path = made(tmp_path / "disk", 2 * MIB, {})
    with opened(path) as fd:
        assert vhdx.layout(fd, 4 * MIB) is None
    os.truncate(path, REGIONS + 20)
    with opened(path) as fd:
        assert vhdx.layout(fd, 2 * MIB) is None


def test_entries_that_are_cut_off_count_as_data(tmp_path: Path) -> None:
    path = made(tmp_path / "disk", 4 * MIB, {})
    with opened(path) as fd:
        found = vhdx.layout(fd, 4 * MIB)
    assert found is not None
    os.truncate(path, found.table_at + 16)
    with opened(path) as fd:
        assert list(vhdx.data_extents(fd, found)) == [Extent(2 * MIB, 2 * MIB)]
