"""Whatever happened to a disk, every point holds exactly what the disk held when it was captured."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent, complement, merge
from bascule.data.pipeline import copy, restore, resync
from bascule.data.store import Tuning
from bascule.model.errors import Unavailable
from tests.data.pipeline.worlds import DISK, Image, Target, World, capture, noise
from tests.properties import share

BLOCKS = 80


class Step(NamedTuple):
    """What happens to the disk, and how it is then sent."""

    how: str
    writes: list[tuple[int, int, int]]
    size: int
    cut_short: int | None


WRITES = st.lists(
    st.tuples(st.integers(0, BLOCKS), st.integers(1, 6), st.integers(0, 200)), min_size=1, max_size=8
)
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["whole", "sparse", "delta", "resync"]),
        WRITES,
        st.integers(0, BLOCKS * BLOCK),
        st.one_of(st.none(), st.integers(0, BLOCKS * BLOCK)),
    ),
    min_size=1,
    max_size=6,
)


def written(disk: bytes, step: Step) -> tuple[bytes, list[Extent]]:
    """Resize the disk and write to it; return it and what changed, seed 0 writing zeroes."""
    size = step.size if step.size % 5 else len(disk)
    image = bytearray(disk[:size].ljust(size, b"\0"))
    changed = [Extent(min(len(disk), size), abs(size - len(disk)))]
    for block, count, seed in step.writes:
        low, high = min(block * BLOCK, size), min((block + count) * BLOCK, size)
        image[low:high] = noise(high - low, seed) if seed else bytes(high - low)
        changed.append(Extent(low, high - low))
    return bytes(image), list(merge(sorted(extent for extent in changed if extent.offset < size)))


def source_of(step: Step, disk: bytes, changed: list[Extent], known: bool) -> Image:
    broken = None if step.cut_short is None else (step.cut_short, Unavailable("gone"))
    if step.how == "delta" and known:
        return Image(disk, changed, is_delta=True, broken=broken)
    zeroes = [
        Extent(at, BLOCK) for at in range(0, len(disk), BLOCK) if not disk[at : at + BLOCK].strip(b"\0")
    ]
    extents = list(complement(zeroes, len(disk))) if step.how == "sparse" else [Extent(0, len(disk))]
    return Image(disk, extents, is_near=step.size % 2 > 0, broken=broken)


@settings(max_examples=share(0.4))
@given(STEPS)
def test_every_point_holds_what_the_disk_held(steps: list[Step]) -> None:
    world, disk, unsent = World(), b"", list[Extent]()
    held: dict[int, bytes] = {}
    for step in steps:
        disk, changed = written(disk, step)
        unsent = list(merge(sorted([*unsent, *changed])))
        source = source_of(step, disk, clipped(unsent, len(disk)), bool(held))
        with world.writer(Tuning(segment_bytes=4 * BLOCK)) as writer, suppress(Unavailable):
            if step.how == "resync" and held:
                copied = resync(world.vault, writer, capture(source), world.conduct()).copied
            else:
                copied = copy(writer, capture(source), world.conduct())
            held[copied.point.number], unsent = disk, []

    assert [point.number for point in world.vault.points("shop")] == list(held)
    for number, content in held.items():
        assert world.content(number=number) == content
        target = Target(len(content), dirt=noise(len(content), 201))
        with world.vault.point("shop", number, purpose="test") as point:
            restore(point.disk(DISK), target, world.conduct())
        assert target.durable == content


def clipped(extents: list[Extent], size: int) -> list[Extent]:
    return [Extent(at, min(at + length, size) - at) for at, length in extents if at < size]
