"""Every operation is compared with the same thing done to a plain set of byte addresses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from bascule.blocks.extents import (
    Extent,
    align,
    complement,
    intersect,
    merge,
    split,
    subtract,
    total,
    union,
)

DISK = 96
units = st.integers(min_value=1, max_value=20)
loose = st.builds(Extent, st.integers(0, DISK), st.integers(0, 24))


@st.composite
def ordered(draw: st.DrawFn) -> list[Extent]:
    """Extents in disk order without overlap; some touch and some are empty."""
    edges = sorted(draw(st.lists(st.integers(0, DISK), max_size=16)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return [Extent(low, high - low) for low, high in pairs]


def addresses(extents: Iterable[Extent]) -> set[int]:
    return {address for extent in extents for address in range(extent.offset, extent.end)}


def in_order_without_overlap(extents: list[Extent]) -> bool:
    neighbours = itertools.pairwise(extents)
    return all(e.length > 0 for e in extents) and all(a.end <= b.offset for a, b in neighbours)


def joined(extents: list[Extent]) -> bool:
    return all(a.end < b.offset for a, b in itertools.pairwise(extents))


@given(st.lists(loose))
def test_merging_keeps_every_address_and_leaves_gaps_between_extents(extents: list[Extent]) -> None:
    merged = list(merge(sorted(extents)))
    assert addresses(merged) == addresses(extents)
    assert in_order_without_overlap(merged)
    assert joined(merged)


@given(ordered(), units, st.integers(0, DISK))
def test_aligning_covers_exactly_the_touched_units_inside_the_disk(
    extents: list[Extent], unit: int, size: int
) -> None:
    touched = {address // unit for address in addresses(extents)}
    aligned = list(align(extents, unit, size))
    assert addresses(aligned) == {address for address in range(size) if address // unit in touched}
    assert in_order_without_overlap(aligned)
    assert joined(aligned)


@given(ordered(), units)
def test_splitting_keeps_every_address_and_crosses_no_multiple(extents: list[Extent], longest: int) -> None:
    pieces = list(split(extents, longest))
    assert addresses(pieces) == addresses(extents)
    assert in_order_without_overlap(pieces)
    assert all(piece.offset // longest == (piece.end - 1) // longest for piece in pieces)


@given(ordered())
def test_the_total_is_the_number_of_addresses(extents: list[Extent]) -> None:
    assert total(extents) == len(addresses(extents))


@given(ordered(), st.integers(0, DISK))
def test_the_complement_is_every_other_address_of_the_disk(extents: list[Extent], size: int) -> None:
    gaps = list(complement(extents, size))
    assert addresses(gaps) == set(range(size)) - addresses(extents)
    assert in_order_without_overlap(gaps)


@given(ordered(), ordered())
def test_an_intersection_is_what_both_cover(left: list[Extent], right: list[Extent]) -> None:
    both = list(intersect(left, right))
    assert addresses(both) == addresses(left) & addresses(right)
    assert in_order_without_overlap(both)


@given(ordered(), ordered())
def test_a_difference_is_what_only_the_left_covers(left: list[Extent], right: list[Extent]) -> None:
    rest = list(subtract(left, right))
    assert addresses(rest) == addresses(left) - addresses(right)
    assert in_order_without_overlap(rest)


@given(ordered(), ordered())
def test_a_union_is_what_either_covers(left: list[Extent], right: list[Extent]) -> None:
    either = list(union(left, right))
    assert addresses(either) == addresses(left) | addresses(right)
    assert in_order_without_overlap(either)
    assert joined(either)


def test_operations_take_generators_and_stay_lazy() -> None:
    endless = (Extent(at * 10, 5) for at in iter(int, 1))
    assert next(split(endless, 5)) == Extent(0, 5)
