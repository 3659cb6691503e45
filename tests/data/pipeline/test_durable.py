from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.blocks.cut import BLOCK, BULK, DELTA, FRAME, Shape, frames
from bascule.blocks.extents import Extent, total
from bascule.data.pipeline import durable as module
from bascule.data.pipeline.durable import Durable, Leftovers
from bascule.data.store import DurableFrame
from bascule.data.store.format.container import FrameRef, Source

SOURCES = (Source("segments/g/s/0", b"a" * 32), Source("segments/g/s/1", b"b" * 32))


def frame(block: int, blocks: int, content: int = 0, number: int = 0) -> DurableFrame:
    """A durable frame whose digest stands for its content."""
    ref = FrameRef(SOURCES[number % 2], number, number * 100, 90, blocks * BLOCK, number % 2)
    return DurableFrame(block * BLOCK, blocks * BLOCK, content.to_bytes(32, "big"), ref)


def sorted_durable(found: Iterable[DurableFrame]) -> Durable:
    durable = Durable()
    for one in found:
        durable.add(one)
    durable.sort()
    return durable


FRAMES = st.lists(st.builds(frame, st.integers(0, 60), st.integers(1, 16), st.integers(0, 3)), max_size=20)
RUNS = st.builds(lambda at, n: Extent(at * BLOCK, n * BLOCK), st.integers(0, 60), st.integers(1, 40))


@given(FRAMES, RUNS, st.sampled_from([BULK, DELTA]))
def test_a_cut_covers_the_run_once_and_in_order(found: list[DurableFrame], run: Extent, shape: Shape) -> None:
    pieces = list(sorted_durable(found).cut(run, shape))
    assert total(extent for extent, _ in pieces) == run.length
    assert pieces[0][0].offset == run.offset
    assert all(one.end == two.offset for (one, _), (two, _) in itertools.pairwise(pieces))
    assert all(extent.length <= shape.longest or is_known for extent, is_known in pieces)


@given(FRAMES, RUNS)
def test_what_is_called_known_is_a_durable_frame(found: list[DurableFrame], run: Extent) -> None:
    places = {Extent(one.offset, one.length) for one in found}
    for extent, is_known in sorted_durable(found).cut(run, BULK):
        assert not is_known or extent in places


@given(FRAMES)
def test_every_frame_is_found_by_its_place_and_digest(found: list[DurableFrame]) -> None:
    durable = sorted_durable(found)
    for one in found:
        match = durable.match(Extent(one.offset, one.length), one.digest)
        assert match is not None
        assert match[:3] == one[:3]
        assert match.frame in [other.frame for other in found if other[:3] == one[:3]]
        assert durable.match(Extent(one.offset, one.length), b"?" * 32) is None
        assert durable.match(Extent(one.offset, one.length + 1), one.digest) is None


def test_a_frame_keeps_where_it_lies() -> None:
    found = [frame(number, 1, number, number) for number in range(9, -1, -1)]
    durable = sorted_durable(found)
    for one in found:
        assert durable.match(Extent(one.offset, one.length), one.digest) == one


def test_of_two_frames_at_one_place_the_one_with_the_right_content_is_used() -> None:
    durable = sorted_durable([frame(3, 2, 7, 0), frame(3, 2, 8, 1)])
    for content in (7, 8):
        match = durable.match(Extent(3 * BLOCK, 2 * BLOCK), content.to_bytes(32, "big"))
        assert match is not None
        assert match.digest == content.to_bytes(32, "big")


def test_without_durable_frames_a_run_is_cut_as_ever() -> None:
    run = Extent(BLOCK, 3 * FRAME)
    assert [extent for extent, _ in Durable().cut(run, BULK)] == list(frames((run,), BULK))


@pytest.mark.parametrize("held", [0, 3, 100])
def test_many_leftovers_are_looked_up_stretch_by_stretch(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", held)
    monkeypatch.setattr(module, "STRETCH", 10 * BLOCK)
    found = [frame(block, 1, block, block) for block in (1, 3, 12, 15, 19, 42)]
    looked = []

    def find() -> Iterable[DurableFrame]:
        looked.append(1)
        return iter(found)

    leftovers = Leftovers(find)
    assert not looked
    for one in found:
        near = leftovers.near(one.offset)
        assert near.match(Extent(one.offset, one.length), one.digest) == one
    assert not len(leftovers.near(25 * BLOCK))
    assert leftovers.bytes == len(found) * BLOCK
    # Once to see what there is; if that was too much, once more per stretch that has any.
    assert len(looked) == (1 if held >= len(found) else 4)
