from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.cut import BLOCK, UNIT
from bascule.blocks.extents import Extent, complement, merge, total
from bascule.data.pipeline.durable import Leftovers
from bascule.data.pipeline.flow.buffers import Buffer
from bascule.data.pipeline.units import Task, Unit, plan, readers_for, workers_for
from bascule.data.store import DiskKey
from tests.data.pipeline.worlds import Image, noise

KEY = DiskKey("vm", "sda")
SIZE = 3 * UNIT + 5 * BLOCK + 100


def spans(most: int) -> st.SearchStrategy[list[Extent]]:
    """Ranges of the disk that respect no block."""
    edges = st.lists(st.integers(0, SIZE), max_size=most, unique=True).map(sorted)
    return edges.map(
        lambda at: [Extent(low, high - low) for low, high in zip(at[::2], at[1::2], strict=False)]
    )


def units(
    extents: list[Extent], *, is_delta: bool, is_known: bool, settled: Bitmap | None = None
) -> list[Unit]:
    source = Image(bytes(SIZE), extents, is_delta=is_delta)
    return list(plan([Task(KEY, source, is_known, Leftovers(lambda: ()), settled)], 1 << 40))


def covered(bitmap: Bitmap) -> set[int]:
    return {at for extent in bitmap.extents() for at in range(extent.offset, extent.end, BLOCK)}


def marked(extents: list[Extent]) -> Bitmap:
    return Bitmap.from_extents(extents, SIZE, BLOCK)


@given(spans(20), st.booleans(), st.booleans())
def test_every_block_with_extents_is_read_once_in_whole_blocks(
    extents: list[Extent], is_delta: bool, is_known: bool
) -> None:
    found = units(extents, is_delta=is_delta, is_known=is_known)
    reads = [extent for unit in found for extent in unit.reads]
    assert list(merge(reads)) == list(marked(extents).extents())
    assert total(reads) == total(merge(reads))
    assert all(unit.read_bytes <= UNIT for unit in found)
    assert all(extent.offset % BLOCK == 0 for extent in reads)


@given(spans(20), st.booleans(), st.booleans())
def test_only_a_whole_source_over_a_known_disk_has_holes_to_erase(
    extents: list[Extent], is_delta: bool, is_known: bool
) -> None:
    found = units(extents, is_delta=is_delta, is_known=is_known)
    holes = [extent for unit in found for extent in unit.holes]
    expected = list(complement(marked(extents).extents(), SIZE)) if is_known and not is_delta else []
    assert list(merge(holes)) == expected


@given(spans(20), spans(10))
def test_settled_blocks_are_neither_read_nor_erased(extents: list[Extent], done: list[Extent]) -> None:
    settled = marked(done)
    found = units(extents, is_delta=False, is_known=True, settled=settled)
    seen = marked([extent for unit in found for extent in (*unit.reads, *unit.holes)])
    assert covered(seen) == set(range(0, SIZE, BLOCK)) - covered(settled)


def test_a_buffer_is_filled_with_one_range_behind_the_other() -> None:
    disk, buffer = noise(SIZE, 1), Buffer()
    source = Image(disk, [Extent(BLOCK, 1), Extent(5 * BLOCK, 2 * BLOCK), Extent(SIZE - 1, 1)])
    (unit,) = plan([Task(KEY, source, False, Leftovers(lambda: ()))], 1 << 40)
    unit.fill(buffer)
    for at, extent in unit.placed():
        assert buffer.view[at : at + extent.length] == disk[extent.offset : extent.end]
    assert [at for at, _ in unit.placed()] == [0, BLOCK, 3 * BLOCK]


def test_disks_are_planned_one_after_the_other() -> None:
    tasks = [
        Task(DiskKey("vm", str(number)), Image(bytes(2 * UNIT)), False, Leftovers(lambda: ()))
        for number in range(3)
    ]
    assert [unit.task.key.disk for unit in plan(tasks, 1 << 40)] == ["0", "0", "1", "1", "2", "2"]


def near(*which: bool) -> list[Task]:
    return [
        Task(DiskKey("vm", str(number)), Image(noise(SIZE, 1), is_near=is_near), False, Leftovers(lambda: ()))
        for number, is_near in enumerate(which)
    ]


def test_of_a_near_disk_no_more_is_read_at_once_than_a_core_keeps_at_hand() -> None:
    (unit, *_), far = plan(near(True), 1 << 40), list(plan(near(False), 1 << 40))
    assert (unit.read_bytes, far[0].read_bytes) == (1 << 20, UNIT)
    assert total(extent for unit in plan(near(True), 1 << 40) for extent in unit.reads) == SIZE


def test_nobody_reads_ahead_where_every_disk_is_near() -> None:
    assert readers_for(near(True, True), 1 << 40) == 0
    assert readers_for(near(True, False), 10 * UNIT) == 10
    assert readers_for(near(False), 1) == 1


def test_two_seal_what_one_reads_of_a_delta_and_all_seal_a_whole_disk() -> None:
    delta = [
        Task(KEY, Image(bytes(SIZE), [Extent(0, BLOCK)], is_delta=True), True, Leftovers(lambda: iter(())))
    ]
    assert (workers_for(delta, 1), workers_for(delta, 8)) == (1, 2)
    assert workers_for(near(False), 8) == workers_for([*delta, *near(False)], 8) == 8
