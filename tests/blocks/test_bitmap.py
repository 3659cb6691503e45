"""The bitmap is compared with a set of block numbers; a terabyte must stay a matter of milliseconds."""

from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.extents import Extent, total
from tests.properties import share

GRAIN = 8
TERABYTE = 1 << 40
ranges = st.builds(Extent, st.integers(0, 900), st.integers(0, 500))


class AgainstASet(RuleBasedStateMachine):
    @initialize(size=st.integers(0, 1000))
    def start(self, size: int) -> None:
        self.size = size
        self.bitmap = Bitmap(size, GRAIN)
        self.dirty: set[int] = set()

    def blocks(self) -> range:
        return range(-(-self.size // GRAIN))

    def span(self, block: int) -> range:
        return range(block * GRAIN, min((block + 1) * GRAIN, self.size))

    @rule(extent=ranges)
    def mark(self, extent: Extent) -> None:
        self.bitmap.mark(extent)
        covered = range(extent.offset, extent.end)
        self.dirty |= {b for b in self.blocks() if any(a in covered for a in self.span(b))}

    @rule(extent=ranges)
    def clear(self, extent: Extent) -> None:
        self.bitmap.clear(extent)
        covered = range(extent.offset, extent.end)
        self.dirty -= {b for b in self.blocks() if all(a in covered for a in self.span(b))}

    @rule(extents=st.lists(ranges, max_size=4))
    def merge(self, extents: list[Extent]) -> None:
        other = Bitmap.from_extents(extents, self.size, GRAIN)
        self.bitmap.merge(other)
        self.dirty |= {b for b in self.blocks() if other.is_dirty(b * GRAIN)}

    @rule(extent=ranges)
    def covers(self, extent: Extent) -> None:
        touched = {address // GRAIN for address in range(extent.offset, extent.end)}
        assert self.bitmap.covers(extent) == (touched <= self.dirty)

    @rule()
    def write_and_read(self) -> None:
        self.bitmap = Bitmap.from_bytes(self.bitmap.to_bytes())

    @rule()
    def clear_all(self) -> None:
        self.bitmap.clear_all()
        self.dirty.clear()

    @invariant()
    def agree(self) -> None:
        found = list(self.bitmap.extents())
        addresses = {address for extent in found for address in range(extent.offset, extent.end)}
        assert addresses == {address for block in self.dirty for address in self.span(block)}
        assert all(a.end < b.offset for a, b in itertools.pairwise(found))
        assert self.bitmap.count() == len(self.dirty)
        assert bool(self.bitmap) == bool(self.dirty)
        assert all(self.bitmap.is_dirty(b * GRAIN) == (b in self.dirty) for b in self.blocks())


TestAgainstASet = AgainstASet.TestCase
TestAgainstASet.settings = settings(max_examples=share(0.5), stateful_step_count=20)


@given(st.lists(ranges), st.integers(0, 1000))
def test_extents_survive_the_way_into_a_bitmap_and_back(extents: list[Extent], size: int) -> None:
    first = list(Bitmap.from_extents(extents, size, GRAIN).extents())
    assert list(Bitmap.from_extents(first, size, GRAIN).extents()) == first


def test_the_short_last_block_of_a_disk_counts_as_one() -> None:
    bitmap = Bitmap(65536 + 1000)
    bitmap.mark(Extent(65536 + 999, 1))
    assert bitmap.count() == 1
    assert list(bitmap.extents()) == [Extent(65536, 1000)]
    bitmap.clear(Extent(65536, 999))
    assert bitmap.count() == 1
    bitmap.clear(Extent(65536, 1000))
    assert not bitmap


def test_ranges_outside_the_disk_mark_nothing() -> None:
    bitmap = Bitmap(1000, GRAIN)
    bitmap.mark(Extent(1000, 500))
    bitmap.mark(Extent(5000, 500))
    assert not bitmap
    assert not bitmap.is_dirty(5000)
    assert not bitmap.is_dirty(-1)


def test_bitmaps_of_different_disks_do_not_merge() -> None:
    with pytest.raises(ValueError, match="2000 bytes"):
        Bitmap(1000).merge(Bitmap(2000))
    with pytest.raises(ValueError, match="blocks of 4096"):
        Bitmap(1000).merge(Bitmap(1000, 4096))


@pytest.mark.parametrize(("size", "granularity"), [(-1, 8), (8, 0), (8, 3)])
def test_a_bitmap_that_cannot_be_is_refused(size: int, granularity: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Bitmap(size, granularity)


def test_every_damaged_byte_of_a_stored_bitmap_is_noticed() -> None:
    stored = Bitmap.from_extents([Extent(3 * GRAIN, 40)], 1000, GRAIN).to_bytes()
    want = list(Bitmap.from_bytes(stored).extents())
    for at in range(len(stored)):
        broken = bytearray(stored)
        broken[at] ^= 0x40
        try:
            got = Bitmap.from_bytes(bytes(broken))
        except ValueError:
            continue
        # Bytes 6 and 7 are unused; a size that needs as many bits is the caller's to compare.
        assert list(got.extents()) == want, at
        assert at in range(6, 16), at


@pytest.mark.parametrize("keep", [0, 10, 20, 25])
def test_a_bitmap_cut_short_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="bitmap"):
        Bitmap.from_bytes(Bitmap(1000, GRAIN).to_bytes()[:keep])


def test_a_forged_bitmap_cannot_unpack_more_than_its_disk_needs() -> None:
    bomb = zlib.compress(bytes(1 << 22), 9)
    head = struct.pack("<4sBBHQI", b"BSCB", 1, 16, 0, 1 << 20, zlib.crc32(bytes(1 << 22)))
    with pytest.raises(ValueError, match="as long as its disk"):
        Bitmap.from_bytes(head + bomb)


def test_a_terabyte_of_blocks_is_marked_merged_counted_and_listed_in_bulk() -> None:
    whole, few = Bitmap(TERABYTE), Bitmap(TERABYTE)
    whole.mark(Extent(65536, TERABYTE - 2 * 65536))
    for block in range(0, whole.blocks, 4096):
        few.mark(Extent(block * 65536, 1))
    assert whole.blocks == 1 << 24
    assert few.count() == 4096
    assert total(few.extents()) == 4096 * 65536
    few.merge(whole)
    # Both ends of the disk: block 0 came from the few, the last is in neither.
    assert list(few.extents()) == [Extent(0, TERABYTE - 65536)]
    assert few.count() == whole.blocks - 1
    assert len(whole.to_bytes()) < 20_000
