from __future__ import annotations

import pytest

from bascule.blocks.cut import BLOCK, UNIT
from bascule.blocks.extents import Extent, total
from bascule.data.pipeline import Cancel, Journal, Restored, Schedule, Throttle, copy, restore
from bascule.data.pipeline.restore import WRITE_BYTES
from bascule.model.errors import BasculeError, Cancelled, Damaged, Refused, Unavailable
from tests.data.pipeline.worlds import DISK, Image, Target, World, blocks, capture, no_thread_left, noise

MIXED = blocks(1, 0, 0, 2, 3, 0, 4) + noise(2 * UNIT, 7) + bytes(UNIT) + noise(UNIT, 8) + b"tail"


def world_with(*disks: bytes) -> World:
    world = World()
    with world.writer() as writer:
        for disk in disks:
            copy(writer, capture(Image(disk)), world.conduct())
    world.heard.clear()
    return world


def restored(world: World, target: Target, journal: Journal | None = None, **conduct: object) -> Restored:
    with no_thread_left(), world.vault.point("shop", purpose="test") as point:
        return restore(point.disk(DISK), target, world.conduct(**conduct), journal)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_sink_holds_what_the_disk_held(workers: int) -> None:
    target = Target(len(MIXED))
    did = restored(world_with(MIXED), target, workers=workers)
    assert target.durable == MIXED
    assert did.written_bytes == total(target.written)
    assert did.fetched_bytes > 0


def test_zeroes_are_not_sent_to_a_sink_that_is_zero() -> None:
    target = Target(len(MIXED))
    did = restored(world_with(MIXED), target)
    assert (target.zeroed, did.zeroed_bytes) == ([], 0)
    assert total(target.written) == len(MIXED) - 3 * BLOCK - UNIT


def test_a_sink_that_held_something_is_zeroed_where_the_disk_is() -> None:
    target = Target(len(MIXED), dirt=noise(len(MIXED), 5))
    did = restored(world_with(MIXED), target)
    assert target.durable == MIXED
    assert did.zeroed_bytes == 3 * BLOCK + UNIT


def test_a_larger_sink_is_zero_behind_the_disk() -> None:
    size = len(MIXED) + 1000
    target = Target(size, dirt=noise(size, 5))
    restored(world_with(MIXED), target)
    assert target.durable == MIXED + bytes(1000)


def test_a_smaller_sink_is_refused_untouched() -> None:
    target = Target(len(MIXED) - 1)
    with pytest.raises(Refused, match="same size or larger"):
        restored(world_with(MIXED), target)
    assert not target.written


def test_an_older_point_is_restored_as_it_was() -> None:
    world, older = world_with(MIXED, bytes(len(MIXED))), Target(len(MIXED))
    with world.vault.point("shop", world.vault.points("shop")[0].number, purpose="test") as point:
        restore(point.disk(DISK), older, world.conduct())
    assert older.durable == MIXED
    newer = Target(len(MIXED), dirt=MIXED)
    restored(world, newer)
    assert newer.durable == bytes(len(MIXED))


def test_neighbours_are_written_with_one_call() -> None:
    disk = noise(3 * WRITE_BYTES, 1)
    target = Target(len(disk))
    restored(world_with(disk), target, workers=1)
    assert target.durable == disk
    assert len(target.written) <= 8


def test_a_disk_that_grew_ends_its_old_tail_with_zeroes() -> None:
    short, long = blocks(1, tail=100), blocks(1) + noise(100, 99) + bytes(2 * BLOCK)
    world = world_with(short)
    with world.writer() as writer:
        copy(writer, capture(Image(long, [], is_delta=True)), world.conduct())
    target = Target(len(long), dirt=noise(len(long), 3))
    restored(world, target)
    assert target.durable == long


def test_progress_only_grows_and_ends_at_all_of_it() -> None:
    world = world_with(MIXED)
    restored(world, Target(len(MIXED)))
    done = [progress.done_bytes for progress in world.heard]
    assert done == sorted(done)
    last = world.heard[-1]
    assert last.done_bytes == last.total_bytes
    assert 0 <= last.total_bytes - (len(MIXED) - 3 * BLOCK - UNIT) < BLOCK


@pytest.mark.parametrize("error", [Unavailable("gone"), Refused("full")])
@pytest.mark.parametrize("at", [0, 2 * UNIT, len(MIXED) - 1])
def test_a_sink_that_fails_ends_the_restore_with_its_own_error(error: BasculeError, at: int) -> None:
    world = world_with(MIXED)
    with pytest.raises(type(error), match=error.message):
        restored(world, Target(len(MIXED), broken=(at, error)))


def test_a_sink_that_cannot_be_zeroed_ends_the_restore() -> None:
    world = world_with(MIXED)
    with pytest.raises(Unavailable, match="gone"):
        restored(world, Target(len(MIXED), dirt=MIXED, broken=(BLOCK, Unavailable("gone"))))


def test_a_lost_object_is_damage_and_not_a_disk_with_a_hole() -> None:
    world = world_with(MIXED)
    name = world.objects.names("segments/")[0]
    world.objects.tamper(name, None)
    with pytest.raises(Damaged, match="sda"):
        restored(world, Target(len(MIXED)))


def test_a_store_that_goes_away_ends_the_restore() -> None:
    world = world_with(noise(4 * UNIT, 1))
    with world.vault.point("shop", purpose="test") as point, no_thread_left():
        world.objects.fail("read", at=2, prefix="segments/", times=1000)
        with pytest.raises(Unavailable):
            restore(point.disk(DISK), Target(4 * UNIT), world.conduct())


@pytest.mark.slow
def test_a_cancel_stops_it_within_a_batch_of_each_worker() -> None:
    cancel, disk = Cancel(), noise(16 * UNIT, 1)

    class Impatient(Target):
        def write(self, offset: int, data: memoryview) -> None:
            super().write(offset, data)
            cancel.request()

    target = Impatient(len(disk))
    with pytest.raises(Cancelled):
        restored(world_with(disk), target, cancel=cancel, workers=2)
    assert total(target.written) < 5 * UNIT


def test_it_keeps_to_the_bandwidth_it_was_given() -> None:
    disk = noise(8 * UNIT, 1)
    world = world_with(disk)
    begun = world.clock.now()
    restored(world, Target(len(disk)), throttle=Throttle(world.clock, Schedule(1 << 20)), workers=1)
    assert 24 <= world.clock.now() - begun <= 33


class Shelf:
    """Where a caller keeps the journal; optionally the power goes after a number of savings."""

    def __init__(self, power: int = 1 << 30) -> None:
        self.kept = b""
        self._power = power

    def save(self, data: bytes) -> None:
        self.kept = data
        self._power -= 1
        if not self._power:
            raise PowerCut


class PowerCut(BaseException):
    """Not an Exception, so that nobody carries on."""


def surviving(target: Target) -> Target:
    """Return the target as a power cut leaves it: what was not flushed is garbage."""
    left = Target(target.size_bytes, dirt=target.durable)
    for extent in target.written:
        if left.content[extent.offset : extent.end] != target.content[extent.offset : extent.end]:
            left.content[extent.offset : extent.end] = noise(extent.length, extent.offset)
    left.durable = bytes(left.content)
    return left


@pytest.mark.slow
@pytest.mark.parametrize("savings", [1, 2, 3])
@pytest.mark.parametrize("dirty", [False, True])
def test_after_a_power_cut_settled_ranges_are_not_written_again(
    savings: int, dirty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bascule.data.pipeline.journal.EVERY_BYTES", UNIT)
    disk = MIXED + bytes(UNIT - len(MIXED) % UNIT) + noise(3 * UNIT, 9)
    world, shelf = world_with(disk), Shelf(savings)
    target = Target(len(disk), dirt=noise(len(disk), 2) if dirty else b"")
    with pytest.raises(PowerCut):
        restored(world, target, Journal("target", shelf.save), workers=2)

    after = surviving(target)
    did = restored(world, after, Journal("target", shelf.save, shelf.kept), workers=2)
    assert after.durable == disk
    data = len(disk) - disk_holes(disk)
    assert did.settled_bytes + did.written_bytes == data
    assert did.settled_bytes > 0 or savings == 1


def disk_holes(disk: bytes) -> int:
    return sum(
        min(BLOCK, len(disk) - at)
        for at in range(0, len(disk), BLOCK)
        if not disk[at : at + BLOCK].strip(b"\0")
    )


def test_a_finished_restore_leaves_nothing_to_do_again() -> None:
    world, shelf = world_with(MIXED), Shelf()
    target = Target(len(MIXED))
    restored(world, target, Journal("target", shelf.save))
    again = Target(len(MIXED), dirt=target.durable)
    did = restored(world, again, Journal("target", shelf.save, shelf.kept))
    assert (again.written, again.zeroed) == ([], [])
    assert did.fetched_bytes == 0


def test_a_cancelled_restore_keeps_what_it_wrote() -> None:
    cancel, disk, shelf = Cancel(), noise(8 * UNIT, 1), Shelf()

    class Impatient(Target):
        def write(self, offset: int, data: memoryview) -> None:
            super().write(offset, data)
            cancel.request()

    world, target = world_with(disk), Impatient(len(disk))
    with pytest.raises(Cancelled):
        restored(world, target, Journal("target", shelf.save), cancel=cancel, workers=1)
    again = Target(len(disk), dirt=target.durable)
    did = restored(world, again, Journal("target", shelf.save, shelf.kept))
    assert again.durable == disk
    assert did.settled_bytes == total(target.written) > 0


def test_marks_about_another_target_are_ignored() -> None:
    world, shelf = world_with(MIXED), Shelf()
    restored(world, Target(len(MIXED)), Journal("one", shelf.save))
    other = Target(len(MIXED))
    restored(world, other, Journal("other", shelf.save, shelf.kept))
    assert other.durable == MIXED


def test_a_journal_that_cannot_be_read_is_damage_with_a_cure() -> None:
    world = world_with(MIXED)
    with pytest.raises(Damaged, match="starts from the beginning"):
        restored(world, Target(len(MIXED)), Journal("target", Shelf().save, b"{"))


def test_a_sink_larger_than_the_disk_is_zeroed_again_only_behind_it() -> None:
    world, shelf = world_with(MIXED), Shelf()
    size = len(MIXED) + 5000
    target = Target(size, dirt=noise(size, 1))
    restored(world, target, Journal("t", shelf.save))
    again = Target(size, dirt=target.durable)
    restored(world, again, Journal("t", shelf.save, shelf.kept))
    assert again.zeroed == [Extent(len(MIXED), 5000)]
