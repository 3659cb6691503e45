"""What is kept of removed points, against sets of numbers."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from bascule.data.store.upkeep.removal import join, lost
from bascule.data.store.upkeep.state import RemovedRange, UpkeepEntry

numbers = st.sets(st.integers(0, 40))


def ranges(removed: set[int]) -> list[RemovedRange]:
    """Ranges as retention writes them: entry n has digest ``dn`` and names ``dn-1``."""
    return [RemovedRange(n, n, f"d{n - 1}", f"d{n}") for n in removed]


@given(numbers)
def test_ranges_that_touch_are_one_and_keep_the_digests_of_their_ends(removed: set[int]) -> None:
    joined = join(ranges(removed))
    assert {n for gap in joined for n in range(gap.first, gap.last + 1)} == removed
    assert all(left.last + 1 < right.first for left, right in itertools.pairwise(joined))
    assert all((gap.previous, gap.digest) == (f"d{gap.first - 1}", f"d{gap.last}") for gap in joined)
    assert join([*joined]) == joined


@given(numbers, numbers)
def test_a_removed_point_is_told_from_others(removed: set[int], asked: set[int]) -> None:
    state = UpkeepEntry(0, "state", "s", "w", "n", removed={"g": join(ranges(removed))})
    assert {n for n in asked if state.is_removed("g", n)} == asked & removed
    assert not any(state.is_removed("h", n) for n in asked)


@given(numbers, numbers)
@example({2, 9}, {1, 2, 3, 4})
@example({0}, set())
def test_what_is_neither_there_nor_removed_is_lost(there: set[int], removed: set[int]) -> None:
    newest = max(there, default=-1)
    expected = [n for n in range(newest) if n not in there | removed]
    assert list(lost(sorted(there), join(ranges(removed)))) == expected
