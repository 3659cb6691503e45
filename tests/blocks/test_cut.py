from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.blocks.cut import BLOCK, BULK, DELTA, FRAME, FRAME_LIMIT, UNIT, Shape, batches, frames, units
from bascule.blocks.extents import Extent, merge, total

DISK = 3 * UNIT + 12345
extents = st.lists(st.builds(Extent, st.integers(0, DISK - 1), st.integers(1, UNIT + BLOCK)), max_size=8)


def touched(ranges: list[Extent], size: int = DISK) -> set[int]:
    return {
        block
        for extent in ranges
        for block in range(extent.offset // BLOCK, -(-min(extent.end, size) // BLOCK))
    }


@given(extents)
def test_units_are_exactly_the_touched_blocks_and_tear_no_bulk_frame(ranges: list[Extent]) -> None:
    cut = list(units(sorted(ranges), DISK))
    assert touched(cut) == touched(ranges)
    assert total(cut) == total(merge(cut))
    for unit in cut:
        assert unit.offset % BLOCK == 0
        assert unit.end % BLOCK == 0 or unit.end == DISK
        assert unit.offset // UNIT == (unit.end - 1) // UNIT
    joined = list(merge(cut))
    assert [f for unit in cut for f in frames([unit], BULK)] == list(frames(joined, BULK))


def test_a_unit_must_be_made_of_whole_blocks() -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        units([Extent(0, 1)], DISK, unit=BLOCK + 1)


@given(extents, st.sampled_from([BULK, DELTA, Shape(2 * BLOCK, aligned=False)]))
def test_frames_cover_every_run_once_and_stay_within_their_shape(ranges: list[Extent], shape: Shape) -> None:
    runs = list(units(sorted(ranges), DISK))
    cut = list(frames(runs, shape))
    assert list(merge(cut)) == list(merge(runs))
    assert total(cut) == total(runs)
    for frame in cut:
        assert 0 < frame.length <= shape.longest
        assert frame.offset % BLOCK == 0
        if shape.aligned:
            assert frame.offset // shape.longest == (frame.end - 1) // shape.longest


def test_a_bulk_frame_stops_at_the_next_multiple_of_256_kib() -> None:
    run = Extent(FRAME - BLOCK, FRAME)
    assert list(frames([run], BULK)) == [Extent(FRAME - BLOCK, BLOCK), Extent(FRAME, FRAME - BLOCK)]


def test_a_delta_frame_holds_neighbours_wherever_they_begin() -> None:
    runs = [Extent(3 * BLOCK, BLOCK), Extent(4 * BLOCK, FRAME_LIMIT), Extent(40 * BLOCK, BLOCK)]
    assert list(frames(runs, DELTA)) == [
        Extent(3 * BLOCK, FRAME_LIMIT),
        Extent(3 * BLOCK + FRAME_LIMIT, BLOCK),
        Extent(40 * BLOCK, BLOCK),
    ]


def test_the_frame_at_the_end_of_an_odd_disk_is_short() -> None:
    size = FRAME + BLOCK + 777
    cut = list(units([Extent(0, size)], size))
    assert list(frames(cut, BULK))[-1] == Extent(FRAME, BLOCK + 777)
    assert list(frames(units([Extent(size - 1, 1)], size), DELTA)) == [Extent(FRAME + BLOCK, 777)]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100), st.integers(1, 9))
def test_batches_keep_the_order_and_their_limits(lengths: list[int], longest: int, most: int) -> None:
    pieces = [Extent(100 * at, length) for at, length in enumerate(lengths)]
    grouped = list(batches(pieces, longest, most))
    assert [piece for batch in grouped for piece in batch] == pieces
    for batch in grouped:
        assert 0 < len(batch) <= most
        assert total(batch) <= longest or len(batch) == 1
