from __future__ import annotations

import pytest

from bascule.blocks.cut import BLOCK, UNIT
from bascule.blocks.extents import Extent
from bascule.data.pipeline import copy
from bascule.data.store import DiskKey
from bascule.model.errors import Refused
from tests.data.pipeline.worlds import DISK, Image, World, blocks, capture, capture_of, no_thread_left, noise


def test_a_point_holds_what_the_source_held() -> None:
    world, disk = World(), blocks(1, 0, 0, 2, 3, 0, 4) + noise(3 * UNIT, 7)
    with no_thread_left(), world.writer() as writer:
        copied = copy(writer, capture(Image(disk)), world.conduct())
    assert world.content() == disk
    assert copied.point.number == world.vault.points("shop")[-1].number
    assert copied.read_bytes == len(disk)
    assert copied.sent_bytes == len(disk) - 3 * BLOCK
    assert copied.stored_bytes > 0


def test_a_disk_need_not_end_with_a_whole_block() -> None:
    world, disk = World(), blocks(1, 0, 2, tail=777)
    with world.writer() as writer:
        copy(writer, capture(Image(disk)), world.conduct())
    assert world.content() == disk


@pytest.mark.parametrize("disk", [b"", bytes(10), bytes(3 * BLOCK + 1)])
def test_a_disk_of_zeroes_is_a_point_without_data(disk: bytes) -> None:
    world = World()
    with world.writer() as writer:
        copied = copy(writer, capture(Image(disk)), world.conduct())
    assert (copied.sent_bytes, world.data_bytes()) == (0, 0)
    assert world.content() == disk


def test_only_the_extents_of_a_source_are_read() -> None:
    world, disk = World(), blocks(0, 1, 0, 0, 2, 3, 0)
    source = Image(disk, [Extent(BLOCK, BLOCK), Extent(4 * BLOCK, 2 * BLOCK)])
    with world.writer() as writer:
        copy(writer, capture(source), world.conduct())
    assert sorted(source.diary) == [(BLOCK, BLOCK), (4 * BLOCK, 2 * BLOCK)]
    assert world.content() == disk


def test_extents_that_respect_no_block_are_widened_to_blocks() -> None:
    world, disk = World(), blocks(1, 2, 3, tail=100)
    source = Image(disk, [Extent(5, 10), Extent(BLOCK + 5, BLOCK), Extent(3 * BLOCK + 50, 1)])
    with world.writer() as writer:
        copy(writer, capture(source), world.conduct())
    assert world.content() == disk


def test_a_delta_sends_what_changed_and_keeps_the_rest() -> None:
    world, before, after = World(), blocks(*range(1, 40)), blocks(1, 2, 77, *range(4, 39), 78)
    changed = [Extent(2 * BLOCK, BLOCK), Extent(38 * BLOCK, BLOCK)]
    with world.writer() as writer:
        copy(writer, capture(Image(before)), world.conduct())
        copied = copy(writer, capture(Image(after, changed, is_delta=True)), world.conduct())
    assert world.content() == after
    assert copied.sent_bytes == copied.read_bytes == 2 * BLOCK
    assert copied.point.machines[0].disks[0].changed_bytes == 2 * BLOCK


def test_a_block_that_became_zero_in_a_delta_is_gone() -> None:
    world, before, after = World(), blocks(1, 2, 3, 4, 5), blocks(1, 0, 9, 0, 5)
    with world.writer() as writer:
        copy(writer, capture(Image(before)), world.conduct())
        delta = Image(after, [Extent(BLOCK, 3 * BLOCK)], is_delta=True)
        copied = copy(writer, capture(delta), world.conduct())
    assert world.content() == after
    assert world.data_bytes() == 3 * BLOCK
    assert copied.erased_bytes == 2 * BLOCK


def test_a_delta_whose_tail_became_zero_loses_its_tail() -> None:
    world, before = World(), blocks(1, 2, tail=300)
    after = blocks(1, 2) + bytes(300)
    with world.writer() as writer:
        copy(writer, capture(Image(before)), world.conduct())
        copy(writer, capture(Image(after, [Extent(2 * BLOCK, 300)], is_delta=True)), world.conduct())
    assert world.content() == after
    assert world.data_bytes() == 2 * BLOCK


def test_a_whole_copy_over_an_older_point_erases_what_is_zero_now() -> None:
    world, before = World(), blocks(1, 2, 3, 4, 5, 6, tail=9)
    after = blocks(0, 7, 0, 0, 8, 0) + bytes(9)
    outside = [Extent(BLOCK, BLOCK), Extent(3 * BLOCK, 2 * BLOCK)]
    with world.writer() as writer:
        copy(writer, capture(Image(before)), world.conduct())
        copy(writer, capture(Image(after, outside)), world.conduct())
    assert world.content() == after
    assert world.data_bytes() == 2 * BLOCK
    assert world.content(number=world.vault.points("shop")[0].number) == before


def test_a_disk_that_nothing_is_known_of_needs_no_erasing() -> None:
    world = World()
    with world.writer() as writer:
        copied = copy(writer, capture(Image(blocks(0, 1, 0))), world.conduct())
    assert copied.erased_bytes == 0


def test_all_disks_of_all_machines_make_one_point() -> None:
    world = World()
    disks = {
        DiskKey("a", "1"): blocks(1, 2),
        DiskKey("a", "2"): blocks(0, 3) + noise(2 * UNIT, 5),
        DiskKey("b", "1"): blocks(4, tail=1000),
    }
    with world.writer() as writer:
        copied = copy(writer, capture_of({key: Image(disk) for key, disk in disks.items()}), world.conduct())
    assert world.point_count() == 1
    assert {key: world.content(key) for key in disks} == disks
    assert [machine.name for machine in copied.point.machines] == ["A", "B"]


def test_a_disk_may_grow_and_shrink_between_points() -> None:
    world, sizes = (
        World(),
        (blocks(1, 2, 3), blocks(4, 5, 6, 7, tail=5), blocks(8, tail=700), blocks(9, 0, 1)),
    )
    with world.writer() as writer:
        for disk in sizes:
            copy(writer, capture(Image(disk)), world.conduct())
            assert world.content() == disk


def test_scattered_blocks_are_read_one_by_one_and_sent_together() -> None:
    world, count = World(), 200
    disk = blocks(*(number % 2 * number for number in range(count)))
    extents = [Extent(number * BLOCK, BLOCK) for number in range(1, count, 2)]
    with world.writer() as writer:
        copy(writer, capture(Image(bytes(len(disk)))), world.conduct())
        segments = len(world.objects.names("segments/"))
        source = Image(disk, extents, is_delta=True)
        copied = copy(writer, capture(source), world.conduct(workers=1))
    assert world.content() == disk
    assert copied.sent_bytes == source.read_bytes == count // 2 * BLOCK
    assert len(world.objects.names("segments/")) - segments == 1


def test_neighbouring_blocks_of_a_delta_travel_in_one_frame() -> None:
    world = World()
    disk = blocks(*range(1, 17))
    with world.writer() as writer:
        copy(writer, capture(Image(bytes(len(disk)))), world.conduct())
        copy(writer, capture(Image(disk, [Extent(BLOCK, 9 * BLOCK)], is_delta=True)), world.conduct())
    with world.vault.point("shop", purpose="test") as point:
        held = [run for run in point.disk(DISK).runs() if run.frame is not None]
    assert [(run.block, run.span) for run in held] == [(1, 9)]


def test_a_small_delta_is_one_object() -> None:
    world, disk = World(), blocks(*range(1, 30))
    with world.writer() as writer:
        copy(writer, capture(Image(disk)), world.conduct())
        before = set(world.objects.names())
        copy(
            writer, capture(Image(blocks(99, *range(2, 30)), [Extent(0, 1)], is_delta=True)), world.conduct()
        )
    assert len(set(world.objects.names()) - before) == 1


def test_progress_only_grows_and_ends_at_all_of_it() -> None:
    world, disk = World(), noise(5 * UNIT, 1)
    with world.writer() as writer:
        copied = copy(writer, capture(Image(disk), Image(disk)), world.conduct())
    done = [(progress.done_bytes, progress.stored_bytes) for progress in world.heard]
    assert done == sorted(done)
    assert done[-1] == (2 * len(disk), copied.stored_bytes)
    assert world.heard[-1].total_bytes == 2 * len(disk)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "without a source"),
        ({DISK: Image(bytes(BLOCK)), DiskKey("vm-1", "sdb"): Image(b"")}, "without a source"),
        ({DISK: Image(bytes(BLOCK + 1))}, "bytes, not"),
        ({DISK: Image(bytes(BLOCK), [], is_delta=True)}, "no point with disk"),
    ],
)
def test_what_cannot_become_a_point_is_refused(sources: dict[DiskKey, Image], words: str) -> None:
    world = World()
    wanted = capture(Image(bytes(BLOCK)))
    with world.writer() as writer, pytest.raises(Refused, match=words):
        copy(writer, type(wanted)(wanted.machines, sources, 0.0), world.conduct())
    assert world.point_count() == 0


def test_a_conduct_without_workers_is_refused() -> None:
    for odd in ({"workers": 0}, {"readers": 0}):
        with pytest.raises(Refused):
            World().conduct(**odd)
