"""What every DiskSource and every DiskSink must keep: one suite each, inherited by the tests of each kind.

A subclass gives ``open_disk`` or ``new_disk`` and says which sizes its kind can have.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from bascule.blocks.extents import Extent
from bascule.model.errors import Refused
from bascule.ports.disks import DiskSink, DiskSource

MIB = 1 << 20
SIZES = (3 * MIB, 3 * MIB + 65536 + 512)
"""Whole megabytes, and a tail that is no whole block of 64 KiB."""
ODD_SIZES = (*SIZES, MIB + 777)
"""For kinds that count in bytes, not in sectors."""

OpenDisk = Callable[[bytes], DiskSource]


class NewDisk(NamedTuple):
    """A fresh sink, and a way to read what it holds after it was closed."""

    open: Callable[[int], DiskSink]
    content: Callable[[], bytes]


def sample(size: int, seed: int = 1) -> bytes:
    """Return noise with holes in it, of lengths that respect no block; data at both ends."""
    chance = random.Random(seed)
    pieces: list[bytes] = []
    left = size
    while left > 0:
        length = min(left, chance.choice((1, 512, 4096, 65536, 200_000)) + chance.randrange(3))
        pieces.append(chance.randbytes(length) if chance.random() < 0.5 else bytes(length))
        left -= length
    disk = bytearray(b"".join(pieces))
    disk[0] = disk[-1] = 1
    return bytes(disk)


def read(source: DiskSource, offset: int, length: int) -> bytes:
    buffer = bytearray(b"\xee" * length)
    source.read_into(offset, memoryview(buffer))
    halves = [memoryview(bytearray(length // 2)), memoryview(bytearray(length - length // 2))]
    source.read_many([(offset + length // 2, halves[1]), (offset, halves[0])])
    assert b"".join(halves) == buffer
    return bytes(buffer)


def ranges(size: int, count: int, seed: int = 2) -> list[tuple[int, int]]:
    """Return random ranges of a disk, its two ends and the whole among them."""
    chance = random.Random(seed)
    found = [(0, size), (size - 1, 1), (0, 1)]
    for _ in range(count):
        offset = chance.randrange(size)
        found.append((offset, chance.randint(1, min(300_000, size - offset))))
    return found


class DiskSourceContract:
    sizes: tuple[int, ...] = SIZES
    knows_holes = True

    @pytest.fixture
    def open_disk(self) -> OpenDisk:
        raise NotImplementedError

    def test_every_range_reads_as_it_was_written(self, open_disk: OpenDisk) -> None:
        for size in self.sizes:
            content = sample(size)
            source = open_disk(content)
            assert source.size_bytes == size
            assert not source.is_delta
            for offset, length in ranges(size, 30):
                assert read(source, offset, length) == content[offset : offset + length]

    def test_extents_are_in_order_inside_the_disk_and_cover_all_that_is_not_zero(
        self, open_disk: OpenDisk
    ) -> None:
        for size in self.sizes:
            content = sample(size)
            source = open_disk(content)
            found = list(source.extents())
            assert all(extent.length > 0 for extent in found)
            assert all(a.end <= b.offset for a, b in itertools.pairwise(found))
            assert found[-1].end <= size
            seen = bytearray(size)
            for offset, length in found:
                seen[offset : offset + length] = content[offset : offset + length]
            assert bytes(seen) == content
            assert list(source.extents()) == found, "a second look sees the same"

    def test_holes_are_not_read_where_the_disk_can_tell(self, open_disk: OpenDisk) -> None:
        content = bytearray(16 * MIB)
        content[5 * MIB : 6 * MIB] = random.Random(3).randbytes(MIB)
        found = list(open_disk(bytes(content)).extents())
        if not self.knows_holes:
            assert sum(extent.length for extent in found) == 16 * MIB
            return
        assert sum(extent.length for extent in found) <= 2 * MIB
        assert list(open_disk(bytes(4 * MIB)).extents()) == []

    def test_threads_read_at_once_while_another_walks_the_extents(self, open_disk: OpenDisk) -> None:
        size = self.sizes[-1]
        content = sample(size)
        source = open_disk(content)

        def work(seed: int) -> bool:
            walk = list(source.extents()) if seed % 2 else []
            return all(a.end <= b.offset for a, b in itertools.pairwise(walk)) and all(
                read(source, offset, length) == content[offset : offset + length]
                for offset, length in ranges(size, 20, seed)
            )

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(6)))

    def test_an_extents_walk_left_half_way_harms_nothing(self, open_disk: OpenDisk) -> None:
        content = sample(self.sizes[0])
        source = open_disk(content)
        next(iter(source.extents()))
        assert read(source, 0, len(content)) == content

    def test_a_range_outside_the_disk_is_refused(self, open_disk: OpenDisk) -> None:
        size = self.sizes[0]
        source = open_disk(sample(size))
        for offset, length in ((size, 1), (size - 1, 2), (-1, 1), (0, size + 1), (1 << 62, 512)):
            with pytest.raises(Refused):
                source.read_into(offset, memoryview(bytearray(length)))
        assert read(source, size, 0) == b""

    def test_what_was_announced_reads_as_it_is(self, open_disk: OpenDisk) -> None:
        disk = sample(self.sizes[0])
        source = open_disk(disk)
        source.expect([Extent(0, 512), Extent(1024, len(disk) - 1024)])
        assert read(source, 0, len(disk)) == disk
        source.close()
        source.expect([Extent(0, 1)])

    def test_a_closed_source_refuses_and_closes_twice(self, open_disk: OpenDisk) -> None:
        source = open_disk(sample(self.sizes[0]))
        read(source, 0, 512)
        source.close()
        source.close()
        with pytest.raises(Refused, match="closed"):
            read(source, 0, 512)


class DiskSinkContract:
    sizes: tuple[int, ...] = SIZES
    is_zeroed = True

    @pytest.fixture
    def new_disk(self) -> NewDisk:
        raise NotImplementedError

    def test_what_is_written_is_there_and_the_rest_is_zero(self, new_disk: NewDisk) -> None:
        for size in self.sizes:
            sink = new_disk.open(size)
            assert sink.size_bytes == size
            assert sink.is_zeroed == self.is_zeroed
            content = sample(size)
            if not sink.is_zeroed:
                sink.zero(Extent(0, size))
            for offset in range(0, size, 262144):
                piece = content[offset : offset + 262144]
                if any(piece):
                    sink.write(offset, memoryview(piece))
            sink.flush()
            sink.close()
            assert new_disk.content() == content

    def test_ranges_of_any_length_overwrite_and_zero(self, new_disk: NewDisk) -> None:
        size = self.sizes[-1]
        want = bytearray(sample(size))
        sink = new_disk.open(size)
        sink.write(0, memoryview(want))
        chance = random.Random(5)
        for offset, length in ranges(size, 40, seed=6)[1:]:
            if chance.random() < 0.5:
                sink.zero(Extent(offset, length))
                want[offset : offset + length] = bytes(length)
            else:
                data = chance.randbytes(length)
                # From an odd address of memory, which no direct write can take as it is.
                sink.write(offset, memoryview(b"x" + data)[1:])
                want[offset : offset + length] = data
        sink.flush()
        sink.close()
        assert new_disk.content() == bytes(want)

    def test_threads_write_neighbouring_ranges_at_once(self, new_disk: NewDisk) -> None:
        size = self.sizes[0]
        content = random.Random(8).randbytes(size)
        sink = new_disk.open(size)
        edges = sorted({0, size, *(random.Random(9).randrange(size) for _ in range(60))})
        pieces = list(itertools.pairwise(edges))

        def work(piece: tuple[int, int]) -> None:
            sink.write(piece[0], memoryview(content)[piece[0] : piece[1]])

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, pieces))
        sink.flush()
        sink.close()
        assert new_disk.content() == content

    def test_a_disk_can_be_zeroed_as_a_whole(self, new_disk: NewDisk) -> None:
        size = self.sizes[-1]
        sink = new_disk.open(size)
        sink.write(0, memoryview(b"\xff" * size))
        sink.zero(Extent(0, size))
        sink.flush()
        sink.close()
        assert new_disk.content() == bytes(size)

    def test_a_range_outside_the_disk_is_refused_and_nothing_is_written(self, new_disk: NewDisk) -> None:
        size = self.sizes[0]
        sink = new_disk.open(size)
        sink.zero(Extent(0, size))
        for offset, length in ((size, 1), (size - 1, 2), (-1, 1), (1 << 62, 512)):
            with pytest.raises(Refused):
                sink.write(offset, memoryview(b"\1" * length))
            with pytest.raises(Refused):
                sink.zero(Extent(offset, length))
        sink.write(size, memoryview(b""))
        sink.zero(Extent(0, 0))
        sink.close()
        assert new_disk.content() == bytes(size)

    def test_a_closed_sink_refuses_and_closes_twice(self, new_disk: NewDisk) -> None:
        sink = new_disk.open(self.sizes[0])
        sink.close()
        sink.close()
        with pytest.raises(Refused, match="closed"):
            sink.write(0, memoryview(b"\1" * 512))
        with pytest.raises(Refused, match="closed"):
            sink.flush()
