"""A disk that resembles a point becomes equal to a later one; only what differs travels (R-HV-2, R-HV-3)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from bascule.blocks.cut import BLOCK, FRAME
from bascule.blocks.extents import Extent, total
from bascule.data.pipeline import Cancel, copy
from bascule.data.pipeline.renew import Renewed, level, renew
from bascule.model.errors import Cancelled, Refused, Unavailable
from tests.data.pipeline.worlds import (
    DISK,
    GROUP,
    Image,
    Target,
    World,
    blocks,
    capture,
    no_thread_left,
    noise,
)

BASE = noise(64 * BLOCK, 1) + bytes(20 * BLOCK) + blocks(*range(1, 12), tail=700)
COUNT = -(-len(BASE) // BLOCK)


class Held(Target):
    """A disk that can be read too."""

    is_delta = is_near = False

    def __init__(self, content: bytes, **rest: object) -> None:
        super().__init__(len(content), dirt=content, **rest)
        self.read_bytes = 0

    def extents(self) -> Iterator[Extent]:
        at = 0
        for start in range(0, self.size_bytes, BLOCK):
            end = min(start + BLOCK, self.size_bytes)
            if any(self.content[start:end]):
                yield Extent(start, end - start)
            at = end
        assert at == self.size_bytes

    def expect(self, extents: Sequence[Extent]) -> None:
        """Nothing can be begun."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.read_bytes += len(buffer)
        buffer[:] = self.content[offset : offset + len(buffer)]

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        for offset, buffer in pieces:
            self.read_into(offset, buffer)


def changed(disk: bytes, numbers: dict[int, int]) -> bytes:
    """Return the disk with some blocks replaced: by noise of a seed, or by zeroes for seed 0."""
    image = bytearray(disk)
    for number, seed in numbers.items():
        length = min(BLOCK, len(disk) - number * BLOCK)
        image[number * BLOCK : number * BLOCK + length] = noise(length, seed) if seed else bytes(length)
    return bytes(image)


def publish(world: World, disk: bytes, dirty: dict[int, int] | None = None) -> None:
    extents = None if dirty is None else [Extent(n * BLOCK, BLOCK) for n in sorted(dirty)]
    with world.writer() as writer:
        copy(writer, capture(Image(disk, extents, is_delta=dirty is not None)), world.conduct())


def renewed(world: World, held: Held, base: int, wanted: int) -> tuple[Renewed, Renewed]:
    with no_thread_left(), world.vault.point(GROUP, base) as old, world.vault.point(GROUP, wanted) as new:
        levelled = level(old.disk(DISK), held, world.conduct())
        return levelled, renew(old.disk(DISK), new.disk(DISK), held, world.conduct())


def numbers(world: World) -> list[int]:
    return [point.number for point in world.vault.points(GROUP)]


def test_what_both_sides_changed_is_as_the_later_point_has_it() -> None:
    world = World()
    publish(world, BASE)
    there = {3: 50, 40: 0, 70: 51, 80: 52}
    now = changed(BASE, there)
    publish(world, now, there)
    base, wanted = numbers(world)
    here = {3: 60, 10: 61, 41: 0, 72: 62, 90: 63, COUNT - 1: 64}
    held = Held(changed(BASE, here))
    levelled, did = renewed(world, held, base, wanted)
    assert held.durable == now
    # Zeroes are not read; but the block that was emptied may be filled again before its turn to be read.
    assert len(BASE) - levelled.compared_bytes in (19 * BLOCK, 20 * BLOCK)
    assert (levelled.written_bytes, levelled.zeroed_bytes) == (4 * BLOCK + 700, BLOCK)
    assert levelled.fetched_bytes <= 5 * FRAME
    assert did.written_bytes + did.zeroed_bytes == len(there) * BLOCK
    assert did.fetched_bytes <= 3 * (BLOCK + 64)


def test_a_disk_that_is_level_is_not_read() -> None:
    world = World()
    publish(world, BASE)
    there = {n: 100 + n for n in range(0, 60, 7)}
    now = changed(BASE, there)
    publish(world, now, there)
    held = Held(BASE)
    base, wanted = numbers(world)
    with world.vault.point(GROUP, base) as old, world.vault.point(GROUP, wanted) as new:
        did = renew(old.disk(DISK), new.disk(DISK), held, world.conduct())
    assert held.durable == now
    assert (held.read_bytes, did.compared_bytes) == (0, 0)
    assert did.written_bytes == len(there) * BLOCK
    assert did.fetched_bytes <= 1.01 * len(there) * BLOCK


def test_a_point_lies_in_the_history_of_a_branch() -> None:
    """Failback from a machine that was booted from an older point than the newest."""
    world = World()
    publish(world, BASE)
    publish(world, changed(BASE, {5: 70}), {5: 70})
    (booted, _) = numbers(world)
    with world.vault.branch((GROUP, booted), "shop~2", writer="test") as writer:
        there = {6: 71}
        copy(
            writer,
            capture(Image(changed(BASE, there), [Extent(6 * BLOCK, BLOCK)], is_delta=True)),
            world.conduct(),
        )
    held = Held(changed(BASE, {5: 70, 9: 72}))  # the old primary went on after the booted point
    with world.vault.point(GROUP, booted) as old, world.vault.point("shop~2") as new:
        assert list(new.disk(DISK).changed_since(old.disk(DISK))) == [Extent(6 * BLOCK, BLOCK)]
        level(old.disk(DISK), held, world.conduct())
        renew(old.disk(DISK), new.disk(DISK), held, world.conduct())
    assert held.durable == changed(BASE, there)


@pytest.mark.lab
def test_random_histories_end_as_the_point() -> None:
    for seed in range(25):
        chance = random.Random(seed)
        world, disk = World(), BASE
        publish(world, disk)
        for _ in range(chance.randrange(1, 4)):
            dirty = {chance.randrange(COUNT - 1): chance.choice([0, chance.random()]) for _ in range(6)}
            disk = changed(disk, dirty)
            publish(world, disk, dirty)
        listed = numbers(world)
        held = Held(changed(BASE, {chance.randrange(COUNT): chance.choice([0, 7]) for _ in range(9)}))
        renewed(world, held, chance.choice(listed), listed[-1])
        assert held.durable == disk, f"seed {seed}"
        again, more = renewed(world, held, listed[-1], listed[-1])
        assert (again.written_bytes, again.zeroed_bytes) == (0, 0), f"seed {seed}"
        assert more == Renewed(), f"seed {seed}"


@pytest.mark.parametrize("at", range(0, COUNT, 5))
def test_a_try_that_failed_is_made_again(at: int) -> None:
    world = World()
    publish(world, BASE)
    there = {n: 100 + n for n in range(0, COUNT - 1, 3)}
    now = changed(BASE, there)
    publish(world, now, there)
    base, wanted = numbers(world)
    start = changed(BASE, {n: 7 for n in range(1, COUNT, 4)})
    held = Held(start, broken=(at * BLOCK, Unavailable("no room")))
    try:
        renewed(world, held, base, wanted)
    except Unavailable:
        held = Held(bytes(held.content))
        renewed(world, held, base, wanted)
    assert held.durable == now


def test_disks_of_different_sizes_are_refused_untouched() -> None:
    world = World()
    publish(world, BASE)
    held = Held(BASE[:-BLOCK])
    with pytest.raises(Refused, match="restore the whole disk"):
        renewed(world, held, *numbers(world) * 2)
    assert total(held.written) == 0


def test_it_stops_on_request() -> None:
    world = World()
    publish(world, BASE)
    cancel = Cancel()
    cancel.request()
    with world.vault.point(GROUP) as point, pytest.raises(Cancelled):
        level(point.disk(DISK), Held(bytes(len(BASE))), world.conduct(cancel=cancel))
