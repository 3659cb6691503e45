"""R-R-2: source and replica are compared by digests, and only what differs is sent."""

from __future__ import annotations

import threading

import pytest

from bascule.blocks.cut import BLOCK, FRAME, UNIT
from bascule.blocks.extents import Extent
from bascule.data.pipeline import Cancel, Capture, Journal, Resynced, copy, restore, resync
from bascule.data.store import DiskKey
from bascule.data.store.upkeep.session import Limits
from bascule.model.errors import BasculeError, Cancelled, Damaged, Fenced, Missing, Unavailable
from tests.data.pipeline.worlds import (
    DISK,
    Image,
    Target,
    World,
    blocks,
    capture,
    capture_of,
    no_thread_left,
    noise,
)

BASE = noise(3 * UNIT, 1) + bytes(UNIT) + blocks(*range(1, 30), tail=700)


def world_with(disk: bytes = BASE) -> World:
    world = World()
    with world.writer() as writer:
        copy(writer, capture(Image(disk)), world.conduct())
    world.heard.clear()
    return world


def resynced(world: World, wanted: Capture, journal: Journal | None = None, **conduct: object) -> Resynced:
    with no_thread_left(), world.writer() as writer:
        return resync(world.vault, writer, wanted, world.conduct(**conduct), journal)


def with_blocks(disk: bytes, numbers: dict[int, int]) -> bytes:
    """Return the disk with some blocks replaced: by noise of a seed, or zeroes for seed 0."""
    image = bytearray(disk)
    for number, seed in numbers.items():
        length = min(BLOCK, len(disk) - number * BLOCK)
        image[number * BLOCK : number * BLOCK + length] = noise(length, seed) if seed else bytes(length)
    return bytes(image)


def test_equal_disks_cost_one_read_of_the_source_and_nothing_else() -> None:
    world = world_with()
    segments = world.objects.names("segments/")
    source = Image(BASE)
    did = resynced(world, capture(source))
    assert source.read_bytes == did.compared.compared_bytes == did.compared.equal_bytes == len(BASE)
    assert (did.copied.sent_bytes, did.copied.erased_bytes, did.compared.fetched_bytes) == (0, 0, 0)
    assert world.objects.names("segments/") == segments
    assert world.point_count() == 2
    assert world.content() == BASE


def test_only_blocks_that_differ_are_sent() -> None:
    world, now = world_with(), with_blocks(BASE, {1: 50, 2: 51, 30: 52, 64 + 3: 53})
    did = resynced(world, capture(Image(now)))
    assert world.content() == now
    assert did.copied.sent_bytes == 4 * BLOCK
    assert did.copied.point.machines[0].disks[0].changed_bytes == 4 * BLOCK
    assert did.compared.compared_bytes - did.compared.equal_bytes == 4 * BLOCK
    # Three frames of four blocks differ; the fourth block fell into a hole, which needs no fetching.
    assert did.compared.fetched_bytes <= 3 * FRAME


def test_blocks_that_became_zero_are_erased() -> None:
    world, now = world_with(), with_blocks(BASE, {0: 0, 9: 0, len(BASE) // BLOCK: 0})
    before = world.data_bytes()
    did = resynced(world, capture(Image(now)))
    assert world.content() == now
    assert did.copied.sent_bytes == 0
    assert before - world.data_bytes() == 2 * BLOCK + 700


def test_a_source_that_leaves_out_its_zeroes_erases_what_the_replica_holds_there() -> None:
    world, now = world_with(), bytes(2 * UNIT) + BASE[2 * UNIT :]
    source = Image(now, [Extent(2 * UNIT, UNIT), Extent(4 * UNIT, len(BASE) - 4 * UNIT)])
    did = resynced(world, capture(source))
    assert world.content() == now
    assert did.copied.erased_bytes == 2 * UNIT
    assert source.read_bytes == len(BASE) - 3 * UNIT


def test_a_replica_of_many_deltas_is_compared_as_it_stands() -> None:
    world, disk = world_with(), BASE
    with world.writer() as writer:
        for seed in range(100, 106):
            disk = with_blocks(disk, {seed % 7: seed, seed % 40 + 1: seed, 20: seed, 21: 0})
            spots = [Extent(n * BLOCK, BLOCK) for n in sorted({seed % 7, seed % 40 + 1, 20, 21})]
            copy(writer, capture(Image(disk, spots, is_delta=True)), world.conduct())
    assert world.content() == disk
    now = with_blocks(disk, {5: 200, 20: 0, 21: 201})
    did = resynced(world, capture(Image(now)))
    assert world.content() == now
    assert did.copied.sent_bytes == 2 * BLOCK


@pytest.mark.parametrize(
    "now",
    [
        BASE + bytes(5),
        BASE + noise(2 * UNIT, 9),
        BASE[:-700] + bytes(700) + noise(BLOCK, 3),
        BASE[:-1],
        BASE[: 3 * UNIT - 10],
        BASE[:700],
        bytes(len(BASE) + 3 * BLOCK),
        b"",
    ],
)
def test_a_disk_that_changed_its_size_is_compared_as_far_as_it_goes(now: bytes) -> None:
    world = world_with()
    resynced(world, capture(Image(now)))
    assert world.content() == now
    resynced(world, capture(Image(BASE, [Extent(0, len(BASE))])))
    assert world.content() == BASE


def test_a_disk_that_the_point_does_not_have_is_sent_whole() -> None:
    world, key = world_with(), DiskKey("vm-2", "sda")
    did = resynced(world, capture_of({DISK: Image(BASE), key: Image(blocks(1, 0, 2))}))
    assert (world.content(), world.content(key)) == (BASE, blocks(1, 0, 2))
    assert did.copied.sent_bytes == 2 * BLOCK


def test_ranges_in_doubt_are_compared_and_the_rest_is_trusted() -> None:
    world, now = world_with(), with_blocks(BASE, {1: 50, 40: 0})
    source = Image(now, [Extent(0, 8 * BLOCK), Extent(40 * BLOCK, BLOCK)], is_delta=True)
    did = resynced(world, capture(source))
    assert world.content() == now
    assert did.compared.compared_bytes == 9 * BLOCK
    assert did.copied.sent_bytes == BLOCK


def test_without_a_point_there_is_nothing_to_compare_with() -> None:
    world = World()
    with pytest.raises(Missing, match="no recovery point"):
        resynced(world, capture(Image(BASE)))


def test_a_replica_that_cannot_be_read_stops_the_resync() -> None:
    world = world_with()
    world.objects.tamper(world.objects.names("segments/")[0], None)
    with pytest.raises(Damaged):
        resynced(world, capture(Image(BASE)))


@pytest.mark.parametrize("error", [Unavailable("gone"), Damaged("short")])
def test_a_source_that_fails_ends_it_with_its_own_error(error: BasculeError) -> None:
    world = world_with()
    with pytest.raises(type(error), match=error.message):
        resynced(world, capture(Image(BASE, broken=(2 * UNIT, error))))
    assert world.point_count() == 1


def test_a_cancel_stops_it_without_a_point() -> None:
    cancel, world = Cancel(), world_with()
    cancel.request()
    with pytest.raises(Cancelled):
        resynced(world, capture(Image(BASE)), cancel=cancel)
    assert world.point_count() == 1


def test_a_writer_that_was_fenced_meanwhile_publishes_nothing() -> None:
    world = world_with()
    with no_thread_left(), world.writer() as late, world.writer(), pytest.raises(Fenced):
        resync(world.vault, late, capture(Image(BASE)), world.conduct())
    assert world.point_count() == 1


def test_progress_only_grows_and_ends_at_all_of_it() -> None:
    world = world_with()
    resynced(world, capture(Image(BASE)))
    done = [progress.done_bytes for progress in world.heard]
    assert done == sorted(done)
    assert done[-1] == world.heard[-1].total_bytes == len(BASE)


class Shelf:
    """Where a caller keeps the journal."""

    def __init__(self) -> None:
        self.kept = b""
        self.saved = threading.Event()

    def save(self, data: bytes) -> None:
        self.kept = data
        self.saved.set()


class BrokenAfter(Image):
    """An image that breaks as told, but not before something was saved."""

    def __init__(self, shelf: Shelf, content: bytes, extents: list[Extent]) -> None:
        super().__init__(content, extents, broken=(extents[0].offset, Unavailable("killed")))
        self._shelf = shelf

    def read_into(self, offset: int, buffer: memoryview) -> None:
        assert self._shelf.saved.wait(20)
        super().read_into(offset, buffer)


@pytest.mark.slow
@pytest.mark.parametrize("share", [1, 5, 9])
def test_after_a_kill_what_was_equal_is_not_read_and_what_was_sent_is_not_sent_again(
    share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bascule.data.pipeline.journal.EVERY_BYTES", UNIT)
    base = noise(10 * UNIT, 1)
    now = base[: 2 * UNIT] + noise(6 * UNIT, 2) + base[8 * UNIT :]
    world, shelf = world_with(base), Shelf()
    first = Image(now, broken=(share * UNIT, Unavailable("killed")))
    with pytest.raises(Unavailable):
        resynced(world, capture(first), Journal("image 1", shelf.save), workers=1, readers=1)

    second = Image(now)
    with world.writer() as writer:
        durable = sum(frame.length for frame in writer.durable(DISK))
        again = Journal("image 1", shelf.save, shelf.kept)
        did = resync(world.vault, writer, capture(second), world.conduct(), again)
    assert world.content() == now
    assert did.settled_bytes >= (2 if share == 9 else min(share, 2) - 1) * UNIT
    assert second.read_bytes == len(now) - did.settled_bytes
    assert (did.copied.adopted_bytes, did.copied.lost_bytes) == (durable, 0)
    assert did.copied.sent_bytes == 6 * UNIT - durable


def test_marks_of_another_image_or_another_point_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bascule.data.pipeline.journal.EVERY_BYTES", UNIT)
    world, shelf = world_with(), Shelf()
    resynced(world, capture(Image(BASE)), Journal("image 1", shelf.save))
    assert shelf.kept
    for image in ("image 1", "image 2"):
        source = Image(BASE)
        did = resynced(world, capture(source), Journal(image, Shelf().save, shelf.kept))
        assert (did.settled_bytes, source.read_bytes) == (0, len(BASE))


def test_holes_found_equal_are_settled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bascule.data.pipeline.journal.EVERY_BYTES", 1)
    base = bytes(4 * UNIT) + noise(UNIT, 1)
    world, shelf = world_with(base), Shelf()
    extents = [Extent(4 * UNIT, UNIT)]
    with pytest.raises(Unavailable):
        resynced(world, capture(BrokenAfter(shelf, base, extents)), Journal("i", shelf.save))
    did = resynced(world, capture(Image(base, extents)), Journal("i", shelf.save, shelf.kept))
    assert did.settled_bytes == 4 * UNIT
    assert world.content() == base


@pytest.mark.slow
def test_frames_that_upkeep_moved_are_still_compared_by_their_digests() -> None:
    base, half = noise(8 * UNIT, 1), 4 * UNIT
    world = world_with(base)
    disk = base[:half] + noise(half, 2)
    with world.writer() as writer:
        delta = Image(disk, [Extent(half, half)], is_delta=True)
        copy(writer, capture(delta), world.conduct())
    first, _ = world.vault.points("shop")
    segments = world.objects.names("segments/")
    with world.vault.upkeep(writer="test", limits=Limits(move_live_below=1.0)) as upkeep:
        upkeep.remove("shop", [first.number])
        upkeep.compact()
    assert world.objects.names("moved/")
    assert not set(segments) <= set(world.objects.names("segments/"))

    now = with_blocks(disk, {3: 50})
    did = resynced(world, capture(Image(now)))
    assert world.content() == now
    assert (did.copied.sent_bytes, did.compared.fetched_bytes) == (BLOCK, FRAME)
    target = Target(len(now))
    with world.vault.point("shop", purpose="test") as point:
        restore(point.disk(DISK), target, world.conduct())
    assert target.durable == now
