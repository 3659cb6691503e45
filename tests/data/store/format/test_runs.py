"""Runs: laying lists over one another, and pages as bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bascule.data.store.format.container import FrameRef, Source
from bascule.data.store.format.runs import LONGEST_HOLE, Page, Run, hole, overlay
from bascule.model.errors import Damaged
from tests.data.store.format.maps import is_ordered, meaning, run_lists


@given(run_lists(), run_lists())
def test_what_is_newer_wins_block_by_block_and_nothing_else_is_touched(
    older: list[Run], newer: list[Run]
) -> None:
    laid = overlay(older, newer)
    assert is_ordered(laid)
    assert meaning(laid) == meaning(older) | meaning(newer)


@given(run_lists(), run_lists(), run_lists())
def test_it_does_not_matter_which_two_of_three_lists_are_joined_first(
    one: list[Run], two: list[Run], three: list[Run]
) -> None:
    assert meaning(overlay(overlay(one, two), three)) == meaning(overlay(one, overlay(two, three)))


@given(run_lists(most=40), st.integers(0, 200), st.integers(0, 60))
def test_a_page_finds_exactly_the_blocks_that_are_asked_for(runs: list[Run], first: int, count: int) -> None:
    found = list(Page(runs).within(first, first + count))
    assert is_ordered(found)
    assert meaning(found) == {b: p for b, p in meaning(runs).items() if first <= b < first + count}


@given(run_lists(most=60))
def test_a_page_comes_back_from_its_bytes_as_it_was(runs: list[Run]) -> None:
    page = Page.unpack(Page(runs).pack())
    assert list(page) == runs
    assert page.pack() == Page(runs).pack()


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_a_hole_of_any_length_is_covered_once(first: int, count: int) -> None:
    runs = list(hole(first, first + count))
    assert is_ordered(runs)
    assert sum(run.span for run in runs) == count
    assert all(run.span <= LONGEST_HOLE and run.frame is None for run in runs)
    assert not runs or runs[0].block == first


_LYING = (2**32 - 1).to_bytes(4, "little")


@given(st.binary(max_size=400))
@example(_LYING + _LYING)
@example(bytes(4) + _LYING + bytes(100))
@example(_LYING + bytes(4) + bytes(100))
@example(bytes(8) + b"rest")
def test_bytes_that_are_no_page_are_damaged_and_nothing_worse(data: bytes) -> None:
    try:
        page = Page.unpack(data)
    except Damaged:
        return
    assert len(list(page)) == len(page)


@given(run_lists(most=20), st.data())
def test_a_page_that_was_cut_or_changed_is_damaged_or_still_a_page(
    runs: list[Run], data: st.DataObject
) -> None:
    packed = bytearray(Page(runs).pack())
    with pytest.raises(Damaged):
        Page.unpack(bytes(packed[: data.draw(st.integers(0, len(packed) - 1))]))
    with pytest.raises(Damaged):
        Page.unpack(bytes(packed) + b"\0")
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        list(Page.unpack(bytes(packed)))
    except Damaged:
        return


def test_a_full_page_takes_a_few_tens_of_bytes_a_run() -> None:
    chance = random.Random(1)
    sources = [Source(f"segments/group/{'5' * 32}/{i:08d}", chance.randbytes(32)) for i in range(40)]
    runs = [
        Run(5 * i, 4, 0, FrameRef(sources[i % 40], i, 262_000 * i % 2**24, 262_000, 262_144, 0))
        for i in range(2048)
    ]
    assert len(Page(runs).pack()) < 32 * len(runs)
