"""The retention ladder (R-RP-2): what stays as points age, however often retention runs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Refused
from bascule.model.retention import Ladder, Rung

MINUTE, HOUR, DAY = 60, 3600, 86400
USUAL = Ladder.parse("2h:all,24h:1h,30d:1d")

# Small numbers, so that rungs, intervals and points meet at their edges.
spans = st.integers(1, 60)
ladders = st.builds(
    lambda ages, intervals: Ladder(tuple(map(Rung, sorted(ages), intervals))),
    st.sets(spans, min_size=1, max_size=4),
    st.lists(st.integers(0, 30), min_size=4, max_size=4),
)
# As people write them: each interval a multiple of the one before.
usual_ladders = st.builds(
    lambda ages, young, first, factors: Ladder(
        tuple(map(Rung, sorted(ages), [*young, *itertools.accumulate(factors, int.__mul__, initial=first)]))
    ),
    st.sets(spans, min_size=1, max_size=4),
    st.sampled_from([[], [0]]),
    st.integers(1, 6),
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
histories = st.lists(st.integers(0, 12), min_size=1, max_size=60).map(
    lambda steps: list(enumerate(map(float, itertools.accumulate(steps))))
)


def test_a_ladder_is_read_from_words() -> None:
    assert Ladder((Rung(2 * HOUR, 0), Rung(24 * HOUR, HOUR), Rung(30 * DAY, DAY))) == USUAL
    assert Ladder.parse("90s:all, 2w:15m") == Ladder((Rung(90, 0), Rung(14 * DAY, 15 * MINUTE)))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "''"),
        ("all", "'all'"),
        ("2h", "''"),
        ("2h:", "''"),
        ("2h:1", "'1'"),
        ("2h:1y", "'1y'"),
        ("2h:-1h", "'-1h'"),
        ("2h:1.5h", "'1.5h'"),
        ("0h:all", "'0h'"),
        ("2h:0m", "'0m'"),
        ("2h:all:1h", "'all:1h'"),
        ("2h:all,,24h:1h", "''"),
        ("2h:all\n", None),
        ("9" * 5000 + "h:all", "no span of time"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused_with_the_word_that_is_wrong(
    text: str, wrong: str | None
) -> None:
    if wrong is None:
        assert Ladder.parse(text) == Ladder((Rung(2 * HOUR, 0),))
        return
    with pytest.raises(Refused) as caught:
        Ladder.parse(text)
    assert wrong in caught.value.message
    assert "2h:all,24h:1h,30d:1d" in caught.value.cure


@pytest.mark.parametrize("text", ["24h:1h,2h:all", "2h:all,2h:1h", "2h:all,120m:5m"])
def test_rungs_lead_from_young_to_old(text: str) -> None:
    with pytest.raises(Refused, match="growing age"):
        Ladder.parse(text)
    with pytest.raises(Refused, match="needs rungs"):
        Ladder(())


def test_of_nothing_nothing_is_kept() -> None:
    assert USUAL.keep([]) == set()


def test_all_of_two_hours_then_one_an_hour_then_one_a_day() -> None:
    points = [(n, n * 10.0 * MINUTE) for n in range(3 * 144 + 1)]
    kept = sorted(USUAL.keep(points))
    now = 3 * 144
    last_two_hours = list(range(now - 12, now + 1))
    hourly = list(range(now - 144, now - 12, 6))
    assert kept == [0, 144, *hourly, *last_two_hours]


def test_what_is_older_than_the_last_rung_goes() -> None:
    points = [(n, n * 5.0 * DAY) for n in range(20)]
    assert sorted(USUAL.keep(points)) == list(range(13, 20))


def test_a_group_that_got_no_point_for_a_year_loses_none() -> None:
    points = [(n, n * 10.0 * MINUTE) for n in range(13)]
    assert USUAL.keep(points) == set(range(13)), "ages count from the newest point, not from now"


def test_an_hour_that_passes_from_one_rung_to_the_next_keeps_one_point_and_not_two() -> None:
    ladder = Ladder.parse("60m:all,90m:60m,300m:120m")
    points = [(n, n * 10.0 * MINUTE) for n in range(20)]
    # 10 and 11 are of an hour whose oldest point is in the last rung already, and were removed before.
    assert sorted(ladder.keep(points)) == [0, 12, *range(13, 20)]


def test_retention_that_runs_once_leaves_what_retention_at_each_point_leaves() -> None:
    points = [(n, n * 10.0 * MINUTE + n % 7) for n in range(1000)]
    left: set[int] = set()
    for n in range(1000):
        left = USUAL.keep(points[i] for i in left | {n})
    assert left == USUAL.keep(points)


@given(ladders, histories)
def test_the_newest_point_always_stays(ladder: Ladder, points: list[tuple[int, float]]) -> None:
    assert points[-1][0] in ladder.keep(points)


@given(ladders, histories, st.randoms(use_true_random=False))
def test_the_order_in_which_points_are_named_does_not_matter(ladder: Ladder, points, random) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)
    assert ladder.keep(shuffled) == ladder.keep(points)


@given(ladders, histories)
def test_asking_again_removes_nothing_more(ladder: Ladder, points: list[tuple[int, float]]) -> None:
    kept = ladder.keep(points)
    assert ladder.keep(point for point in points if point[0] in kept) == kept


@given(ladders, histories, st.integers(1, 60))
def test_no_run_removes_a_point_that_a_later_run_would_keep(
    ladder: Ladder, points: list[tuple[int, float]], earlier: int
) -> None:
    removed = {number for number, _ in points[:earlier]} - ladder.keep(points[:earlier])
    assert not removed & ladder.keep(points)


@given(usual_ladders, histories, st.sets(st.integers(0, 59)))
def test_however_often_retention_ran_all_is_there_that_one_late_run_would_keep(
    ladder: Ladder, points: list[tuple[int, float]], runs: set[int]
) -> None:
    left: list[tuple[int, float]] = []
    for point in points:
        left.append(point)
        if point[0] in runs:
            kept = ladder.keep(left)
            left = [point for point in left if point[0] in kept]
    assert ladder.keep(points) <= ladder.keep(left)


@given(ladders, histories)
def test_each_interval_within_a_rung_keeps_at_most_one_point_and_all_keeps_all(
    ladder: Ladder, points: list[tuple[int, float]]
) -> None:
    kept, newest = ladder.keep(points), points[-1][1]
    younger = -1.0
    for rung in ladder.rungs:
        within = [(n, t) for n, t in points[:-1] if younger < newest - t <= rung.age_seconds]
        slots = [int(t // rung.interval_seconds) for n, t in within if n in kept and rung.interval_seconds]
        assert len(slots) == len(set(slots))
        if rung.interval_seconds == 0 and rung == ladder.rungs[0]:
            assert {n for n, _ in within} <= kept
        younger = rung.age_seconds
    assert not [n for n, t in points if newest - t > younger and n in kept]
