"""Generations of a group are told by their names."""

from __future__ import annotations

import pytest

from bascule.model.generations import family, following, number_of


@pytest.mark.parametrize(
    ("log", "group", "number", "after"),
    [
        ("web", "web", 1, "web~2"),
        ("web~2", "web", 2, "web~3"),
        ("web~19", "web", 19, "web~20"),
        ("web~orphan-7", "web~orphan-7", 1, "web~orphan-7~2"),
        ("web~0", "web~0", 1, "web~0~2"),
    ],
)
def test_names(log: str, group: str, number: int, after: str) -> None:
    assert (family(log), number_of(log), following(log)) == (group, number, after)
