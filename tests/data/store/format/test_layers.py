"""Layers against a dictionary: however changes are stacked, merged and paged, each block shows the newest."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bascule.data.store.format.container import FrameRef, Source
from bascule.data.store.format.layers import (
    LayerRef,
    PageRef,
    Shape,
    Stack,
    pack_index,
    unpack_index,
    visible,
)
from bascule.data.store.format.runs import Run
from bascule.model.errors import Damaged
from tests.data.store.format.maps import Map, Shelf, frames, is_ordered, layers_of, meaning, run_lists

END = 220
SOME = FrameRef(Source("segments/g/s/0", bytes(32)), 0, 0, 20, 65536, 0)
shapes = st.builds(Shape, st.integers(0, 12), st.integers(1, 9), st.just(1000))
histories = st.lists(st.tuples(run_lists(most=14, gap=12), st.booleans()), max_size=14)


def _stacked(shape: Shape, history: list[tuple[list[Run], bool]]) -> tuple[Shelf, Stack, Map]:
    shelf, stack, oracle = Shelf(shape), Stack(), {}
    for runs, spill in history:
        stack = shelf.stacker.push(stack, runs, spill=spill)
        oracle |= meaning(runs)
    return shelf, stack, oracle


@given(shapes, histories, st.data())
def test_every_block_shows_what_was_written_last(
    shape: Shape, history: list[tuple[list[Run], bool]], data: st.DataObject
) -> None:
    shelf, stack, oracle = _stacked(shape, history)
    assert meaning(visible(shelf.cache, stack, 0, END)) == {b: oracle.get(b) for b in range(END)}
    first = data.draw(st.integers(0, END))
    end = data.draw(st.integers(first, END))
    found = visible(shelf.cache, stack, first, end)
    assert is_ordered(found)
    assert meaning(found) == {b: oracle.get(b) for b in range(first, end)}


@given(shapes, histories)
def test_layers_double_downwards_say_how_large_they_are_and_hide_nothing_at_the_bottom(
    shape: Shape, history: list[tuple[list[Run], bool]]
) -> None:
    shelf, stack, _ = _stacked(shape, history)
    sizes = layers_of(stack)
    assert all(older >= 2 * newer for newer, older in pairwise(sizes))
    assert len(stack.inline) <= shape.inline_runs
    for layer in stack.layers:
        pages = shelf.cache.pages(layer)
        runs = [run for page in pages for run in shelf.cache.page(page)]
        assert is_ordered(runs)
        assert (layer.runs, layer.first, layer.end) == (len(runs), runs[0].block, runs[-1].end)
        for page in pages:
            held = list(shelf.cache.page(page))
            assert (page.first, page.end, page.runs) == (held[0].block, held[-1].end, len(held))
            assert page.runs <= 2 * shape.page_runs


def test_layers_whose_runs_were_cut_in_pieces_are_merged_with_one_more_when_they_grew_too_large() -> None:
    shelf = Shelf(Shape(inline_runs=0, page_runs=1000))
    stack = shelf.stacker.push(Stack(), [Run(100 + 2 * i, 1, 0, SOME) for i in range(10)])
    stack = shelf.stacker.push(stack, [Run(10 * i, 9, 0, SOME) for i in range(3)])
    assert layers_of(stack) == [3, 10]
    # Two and three runs are half of ten, but two of the three are cut in two: seven in all.
    stack = shelf.stacker.push(stack, [Run(4, 1, 0, None), Run(14, 1, 0, None)])
    assert layers_of(stack) == [15]


@given(shapes, histories)
def test_a_disk_that_became_zero_has_an_empty_map(
    shape: Shape, history: list[tuple[list[Run], bool]]
) -> None:
    shelf, stack, _ = _stacked(shape, [*history, ([Run(0, 1, 0, SOME)], True)])
    zeroes = [Run(i, 1, 0, None) for i in range(END + sum(layers_of(stack)))]
    # As many runs as all layers together: they merge down to the bottom, where holes vanish.
    stack = shelf.stacker.push(stack, zeroes, spill=True)
    assert (len(stack.inline), stack.layers) == (0, ())


def test_a_page_that_no_change_touches_is_kept_by_reference() -> None:
    shelf = Shelf(Shape(inline_runs=0, page_runs=16))
    stack = shelf.stacker.push(Stack(), [Run(i, 1, 0, SOME) for i in range(1600)])
    before = {page.frame for page in shelf.cache.pages(stack.layers[0])}
    # Half as many runs as the layer has, all in one corner: they merge, and the other pages stay.
    stack = shelf.stacker.push(stack, [Run(1600 + i, 1, 0, SOME) for i in range(801)])
    after = {page.frame for page in shelf.cache.pages(stack.layers[0])}
    assert len(stack.layers) == 1
    assert len(before & after) >= len(before) - 1


@given(st.lists(st.builds(PageRef, *[st.integers(0, 2**32 - 1)] * 3, frames), max_size=20))
def test_a_page_list_comes_back_from_its_bytes(pages: list[PageRef]) -> None:
    assert unpack_index(pack_index(pages)) == pages


_LYING = (2**32 - 1).to_bytes(4, "little")


@given(st.binary(max_size=300))
@example(_LYING + _LYING)
@example(bytes(4) + _LYING)
@example(_LYING + bytes(90))
def test_bytes_that_are_no_page_list_are_damaged_and_nothing_worse(data: bytes) -> None:
    try:
        unpack_index(data)
    except Damaged:
        return


def test_a_layer_is_looked_at_only_where_it_reaches() -> None:
    shelf = Shelf(Shape())
    layer = LayerRef(5, 100, 200, FrameRef(Source("segments/lost", bytes(32)), 0, 100, 0, 0, 2))
    assert meaning(visible(shelf.cache, Stack(layers=(layer,)), 0, 100)) == dict.fromkeys(range(100))
    with pytest.raises(IndexError):
        visible(shelf.cache, Stack(layers=(layer,)), 150, 151)
