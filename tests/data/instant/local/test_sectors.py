from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.data.instant.local.sectors import Home, SectorMap, SectorSet, runs
from bascule.model.errors import Damaged

COUNT = 300_000  # nine chunks and a bit


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    first = draw(st.integers(0, COUNT - 1))
    return first, draw(st.integers(1, min(70_000, COUNT - first)))


@given(st.lists(st.tuples(ranges(), st.booleans()), max_size=6), ranges())
def test_a_set_holds_what_was_put_in(
    changes: list[tuple[tuple[int, int], bool]], asked: tuple[int, int]
) -> None:
    ours, oracle = SectorSet(), 0
    for (first, count), value in changes:
        mask = (1 << count) - 1
        ours.put(first, count, mask if value else 0)
        oracle = oracle & ~(mask << first) | (mask << first if value else 0)
    first, count = asked
    assert ours.bits(first, count) == oracle >> first & (1 << count) - 1


@given(st.integers(1, 200), st.data())
def test_runs_cover_a_range_and_change_where_the_bits_do(count: int, data: st.DataObject) -> None:
    columns = [data.draw(st.integers(0, (1 << count) - 1)) for _ in range(3)]
    seen = []
    for low, length, value in runs(7, count, *columns):
        assert low == 7 + len(seen)
        assert not seen or seen[-1] != value
        seen.extend([value] * length)
    assert seen == [
        sum((column >> at & 1) << place for place, column in enumerate(columns)) for at in range(count)
    ]


@given(st.lists(st.tuples(ranges(), st.sampled_from([Home.FIRST, Home.SECOND]), st.booleans()), max_size=6))
def test_a_map_comes_back_from_its_bytes(changes: list[tuple[tuple[int, int], Home, bool]]) -> None:
    ours = SectorMap()
    for (first, count), home, zero in changes:
        ours.set(first, count, home, zero=zero)
    again = SectorMap.from_bytes(ours.to_bytes())
    for at in range(0, COUNT, 50_000):
        assert list(again.homes(at, 50_000)) == list(ours.homes(at, 50_000))
    assert list(again.written()) == list(ours.written())


@given(st.lists(ranges(), max_size=6))
def test_written_ranges_are_joined_and_in_order(changes: list[tuple[int, int]]) -> None:
    ours, oracle = SectorMap(), 0
    for first, count in changes:
        ours.set(first, count, Home.FIRST, zero=False)
        oracle |= (1 << count) - 1 << first
    found = list(ours.written())
    assert all(a + n < b for (a, n), (b, _) in pairwise(found))
    assert sum((1 << count) - 1 << first for first, count in found) == oracle


def test_new_bytes_never_go_where_the_flushed_ones_are() -> None:
    ours = SectorMap()
    assert list(ours.target(0, 8, fresh=0)) == [(0, 8, Home.FIRST)]
    ours.set(0, 4, Home.FIRST, zero=False)
    assert list(ours.target(0, 8, fresh=0b0011)) == [
        (0, 2, Home.FIRST),
        (2, 2, Home.SECOND),
        (4, 4, Home.FIRST),
    ]
    ours.set(2, 1, Home.SECOND, zero=True)
    # Zeroed and not flushed: the bytes flushed are still in the first home.
    assert list(ours.target(2, 1, fresh=1)) == [(2, 1, Home.SECOND)]
    # Zeroed and flushed: both homes are free.
    assert list(ours.target(2, 1, fresh=0)) == [(2, 1, Home.FIRST)]


def test_an_empty_map_of_a_pebibyte_costs_nothing() -> None:
    ours = SectorMap()
    assert ours.untouched(1 << 37, 100)
    assert len(ours.to_bytes()) < 100
    assert list(ours.written()) == []


def test_a_map_that_cannot_be_inflated_is_damaged() -> None:
    with pytest.raises(Damaged):
        SectorMap.from_bytes(b"nonsense")
