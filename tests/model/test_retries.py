from __future__ import annotations

from bascule.model.retries import next_try


def test_tries_are_counted_from_the_beginning_of_the_first_one() -> None:
    """R-R-3: after 1, 2, 4, 8 and 10 minutes, then every 30."""
    first, now, tries = 1000.0, 1000.0, []
    for _ in range(8):
        now = next_try(first, now)
        tries.append((now - first) / 60)
    assert tries == [1, 2, 4, 8, 10, 40, 70, 100]


def test_a_try_that_took_long_is_followed_by_the_next_rung_and_none_is_made_up_for() -> None:
    """R-R-3: the rungs are counted from the first attempt, not from the last one's end."""
    assert next_try(0, 200) == 240
    assert next_try(0, 600) == 2400
    assert next_try(0, 2400 + 1) == 2400 + 1800


def test_a_clock_that_was_set_back_does_not_keep_anybody_waiting() -> None:
    """R-R-3."""
    assert next_try(5000, 0) == 60
