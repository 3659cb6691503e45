"""Whatever ends a copy early leaves no thread and no point, and the next one sends nothing twice (R-R-10)."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Literal

import pytest

from bascule.blocks.cut import BLOCK, UNIT
from bascule.blocks.extents import Extent
from bascule.data.pipeline import Cancel, Schedule, Throttle, copy
from bascule.data.store import DiskKey, Tuning
from bascule.drivers.objects.memory import Crash
from bascule.model.errors import BasculeError, Cancelled, Damaged, Fenced, Refused, Unavailable
from tests.data.pipeline.worlds import DISK, Image, World, blocks, capture, no_thread_left, noise

SEGMENT = 1 << 20
# So that small disks fill many segments.
TUNING = Tuning(segment_bytes=SEGMENT)


@pytest.mark.parametrize("error", [Unavailable("gone"), Damaged("short"), Refused("unknown")])
@pytest.mark.parametrize("at", [0, 3 * UNIT, 6 * UNIT - 1])
def test_a_source_that_fails_ends_the_copy_with_its_own_error(error: BasculeError, at: int) -> None:
    world, disk = World(), noise(6 * UNIT, 1)
    with no_thread_left(), world.writer() as writer:
        with pytest.raises(type(error), match=error.message):
            copy(writer, capture(Image(disk, broken=(at, error))), world.conduct())
        assert world.point_count() == 0
        copy(writer, capture(Image(disk)), world.conduct())
    assert world.content() == disk


def test_a_source_that_fails_while_it_lists_its_extents_ends_the_copy() -> None:
    class Listless(Image):
        calls = 0

        def extents(self):
            Listless.calls += 1
            yield Extent(0, UNIT)
            if Listless.calls > 1:
                raise Unavailable("the map is gone")

    world = World()
    with no_thread_left(), world.writer() as writer, pytest.raises(Unavailable, match="the map is gone"):
        copy(writer, capture(Listless(noise(3 * UNIT, 1))), world.conduct())
    assert world.point_count() == 0


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_store_that_fails_a_segment_ends_the_copy_and_leaves_no_point(nth: int) -> None:
    world, disk = World(), noise(3 * UNIT, 1)
    with no_thread_left(), world.writer(TUNING) as writer:
        world.objects.fail("create", at=nth, prefix="segments/", times=1 << 30)
        with pytest.raises(Unavailable):
            copy(writer, capture(Image(disk)), world.conduct())
        world.objects.heal()
        assert world.point_count() == 0
        copy(writer, capture(Image(disk)), world.conduct())
    assert world.content() == disk


def test_a_store_that_fails_the_point_itself_leaves_none() -> None:
    world, disk = World(), noise(UNIT, 1)
    with no_thread_left(), world.writer() as writer:
        world.objects.fail("create", prefix="points/", times=1 << 30)
        with pytest.raises(Unavailable):
            copy(writer, capture(Image(disk)), world.conduct())
        world.objects.heal()
        assert world.point_count() == 0
        copy(writer, capture(Image(disk)), world.conduct())
    assert world.content() == disk


def test_a_writer_that_was_fenced_meanwhile_publishes_nothing() -> None:
    world, disk = World(), noise(UNIT, 1)
    with no_thread_left(), world.writer() as late, world.writer() as owner:
        with pytest.raises(Fenced):
            copy(late, capture(Image(disk)), world.conduct())
        copied = copy(owner, capture(Image(blocks(5))), world.conduct())
    assert [point.number for point in world.vault.points("shop")] == [copied.point.number]


def test_a_cancel_is_honoured_within_a_unit_of_each_thread() -> None:
    cancel, count, reading = Cancel(), 64, threading.Lock()

    class Slowing(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            with reading:  # nobody reads on between the fifth read and the request
                super().read_into(offset, buffer)
                if len(self.diary) == 5:
                    cancel.request()

    world = World()
    source = Slowing(bytes(count * UNIT))
    with no_thread_left(), world.writer() as writer, pytest.raises(Cancelled):
        copy(writer, capture(source), world.conduct(cancel=cancel, readers=2, workers=2))
    assert len(source.diary) <= 7
    assert world.point_count() == 0


def test_a_cancel_that_comes_before_the_point_is_published_still_counts() -> None:
    cancel = Cancel()
    world = World()
    world.heard = Hears(cancel)
    with no_thread_left(), world.writer() as writer, pytest.raises(Cancelled):
        copy(writer, capture(Image(blocks(1))), world.conduct(cancel=cancel))
    assert world.point_count() == 0


class Hears(list):
    def __init__(self, cancel: Cancel) -> None:
        super().__init__()
        self._cancel = cancel

    def append(self, progress: object) -> None:
        self._cancel.request()


def test_a_cancel_reaches_a_copy_that_waits_for_its_line() -> None:
    cancel = Cancel()
    world = World()
    throttle = Throttle(Ticking(world, cancel), Schedule(1))
    with no_thread_left(), world.writer() as writer, pytest.raises(Cancelled):
        copy(writer, capture(Image(noise(4 * UNIT, 1))), world.conduct(cancel=cancel, throttle=throttle))
    assert world.point_count() == 0


class Ticking:
    """A clock on which somebody gives up after three naps."""

    def __init__(self, world: World, cancel: Cancel) -> None:
        self._clock = world.clock
        self._cancel = cancel
        self._naps = 0

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
        self._naps += 1
        if self._naps == 3:
            self._cancel.request()


def test_a_copy_keeps_to_the_bandwidth_it_was_given() -> None:
    world, disk = World(), noise(8 * UNIT, 1)
    throttle = Throttle(world.clock, Schedule(1 << 20))
    begun = world.clock.now()
    with world.writer() as writer:
        copied = copy(writer, capture(Image(disk)), world.conduct(throttle=throttle, workers=1))
    # What the last unit cost is paid by whoever uses the line next.
    expected = copied.stored_bytes / (1 << 20)
    assert expected - 6 < world.clock.now() - begun < expected + 1


def test_what_a_small_copy_sent_is_waited_for_by_the_next() -> None:
    world, disk = World(), noise(UNIT, 1)
    throttle = Throttle(world.clock, Schedule(1 << 20))
    for waited in (0, 4):
        begun = world.clock.now()
        with world.writer() as writer:
            copy(writer, capture(Image(disk)), world.conduct(throttle=throttle))
        assert waited - 1 < world.clock.now() - begun < waited + 1


@pytest.mark.parametrize(("prefix", "nth"), [("points/", 1), *(("segments/", nth) for nth in range(1, 6))])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_kill_nothing_durable_is_sent_twice(
    prefix: str, nth: int, when: Literal["before", "after"]
) -> None:
    """The power goes at the fence or at one of the segments."""
    world, disk = World(), noise(UNIT, 1)
    world.objects.crash("create", at=nth, when=when, prefix=prefix)
    with no_thread_left(), pytest.raises(Crash), world.writer(TUNING) as writer:
        copy(writer, capture(Image(disk)), world.conduct())

    again = world.reopened()
    segments = len(again.objects.names("segments/"))
    with again.writer(TUNING) as writer:
        durable = sum(frame.length for frame in writer.durable(DISK))
        copied = copy(writer, capture(Image(disk)), again.conduct())
    assert again.content() == disk
    assert (copied.adopted_bytes, copied.lost_bytes) == (durable, 0)
    assert copied.sent_bytes == len(disk) - durable
    assert segments == (0 if prefix == "points/" else nth - (when == "before"))
    assert bool(durable) == bool(segments)


def test_a_kill_right_after_the_point_leaves_the_point() -> None:
    world, disk = World(), noise(UNIT, 1)
    world.objects.crash("create", at=2, prefix="points/", when="after")
    with no_thread_left(), pytest.raises(Crash), world.writer(TUNING) as writer:
        copy(writer, capture(Image(disk)), world.conduct())
    again = world.reopened()
    assert again.content() == disk
    with again.writer(TUNING) as writer:
        assert not list(writer.durable(DISK))


def test_after_a_kill_what_the_source_changed_meanwhile_is_sent_anew() -> None:
    world, before = World(), noise(8 * UNIT, 1)
    after = bytearray(before)
    after[5 * BLOCK] ^= 1
    broken = (len(before) - 1, Unavailable("gone"))
    with world.writer(TUNING) as writer, pytest.raises(Unavailable):
        copy(writer, capture(Image(before, broken=broken)), world.conduct(workers=1))
    with world.writer(TUNING) as writer:
        copied = copy(writer, capture(Image(bytes(after))), world.conduct())
    assert world.content() == after
    assert copied.lost_bytes == 4 * BLOCK
    assert copied.adopted_bytes > 0


def test_after_a_killed_delta_only_what_is_new_is_sent_although_the_runs_grew() -> None:
    world, count = World(), 400
    before, extents = bytes(count * BLOCK), [Extent(at * BLOCK, 3 * BLOCK) for at in range(0, count, 10)]
    after = bytearray(before)
    for extent in extents:
        after[extent.offset : extent.end] = noise(extent.length, extent.offset + 1)
    with world.writer(TUNING) as writer:
        copy(writer, capture(Image(before)), world.conduct())
        broken = (extents[-1].offset, Unavailable("gone"))
        with pytest.raises(Unavailable):
            copy(
                writer,
                capture(Image(bytes(after), extents, is_delta=True, broken=broken)),
                world.conduct(workers=1),
            )
    grown = [replace_length(extent, 5 * BLOCK) for extent in extents]
    for extent in grown:
        after[extent.end - BLOCK : extent.end] = noise(BLOCK, extent.offset + 2)
    with world.writer(TUNING) as writer:
        durable = sum(frame.length for frame in writer.durable(DISK))
        copied = copy(writer, capture(Image(bytes(after), grown, is_delta=True)), world.conduct())
    assert world.content() == after
    assert (copied.adopted_bytes, copied.lost_bytes) == (durable, 0)


def replace_length(extent: Extent, length: int) -> Extent:
    return Extent(extent.offset, length)


@pytest.mark.slow
def test_frames_of_two_killed_sessions_are_both_of_use() -> None:
    world, disk = World(), noise(16 * UNIT, 1)
    found = []
    for share in (6, 12, 16):
        broken = (share * UNIT, Unavailable("gone"))
        with world.writer(TUNING) as writer, suppress(Unavailable):
            found.append(sum(frame.length for frame in writer.durable(DISK)))
            copied = copy(writer, capture(Image(disk, broken=broken)), world.conduct(workers=1))
    assert world.content() == disk
    assert 0 == found[0] < found[1] < 6 * UNIT < found[2]
    assert (copied.adopted_bytes, copied.sent_bytes) == (found[2], len(disk) - found[2])


def test_a_kill_between_disks_keeps_what_both_had_durable() -> None:
    world, one, two = World(), noise(UNIT, 1), noise(8 * UNIT, 2)
    broken = (len(two) - 1, Unavailable("gone"))
    with world.writer(TUNING) as writer, pytest.raises(Unavailable):
        copy(writer, capture(Image(one), Image(two, broken=broken)), world.conduct(workers=1))
    with world.writer(TUNING) as writer:
        durable = {
            disk: sum(frame.length for frame in writer.durable(DiskKey(DISK.machine, disk)))
            for disk in ("sda", "sdb")
        }
        copied = copy(writer, capture(Image(one), Image(two)), world.conduct())
    assert all(durable.values())
    assert copied.adopted_bytes == sum(durable.values())
    assert [world.content(DiskKey(DISK.machine, disk)) for disk in ("sda", "sdb")] == [one, two]


def test_a_disk_that_grew_after_a_kill_adopts_all_but_its_short_last_frame() -> None:
    world, short = World(), noise(UNIT + 700, 1)
    long = short + noise(3 * BLOCK, 2)
    world.objects.crash("create", prefix="points/", at=2)
    with pytest.raises(Crash), world.writer(Tuning(segment_bytes=4 * BLOCK, inline_bytes=0)) as writer:
        copy(writer, capture(Image(short)), world.conduct())
    again = world.reopened()
    with again.writer(TUNING) as writer:
        durable = sum(frame.length for frame in writer.durable(DISK))
        copied = copy(writer, capture(Image(long)), again.conduct())
    assert again.content() == long
    assert durable == len(short)
    assert (copied.adopted_bytes, copied.lost_bytes) == (UNIT, 700)
