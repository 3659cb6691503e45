"""Policies as they are typed: only what is named is sent, and what cannot be is refused before it is."""

from __future__ import annotations

import pytest

from bascule.front.cli.sides.policy import _ours, _theirs
from bascule.model.errors import Refused


def test_what_is_not_named_is_not_sent_so_that_it_stays_as_it_was() -> None:
    assert _theirs("", "", "") == {}
    assert _ours("", "", "") == {}
    assert _theirs("5m", "", "") == {"replicationInterval": 300}


def test_a_ladder_and_a_threshold_are_said_in_words_of_ours() -> None:
    told = _ours("", "2h:all,24h:1h,30d:1d", "15m")

    assert told == {"bascule": {"retention": "2h:all,24h:1h,30d:1d", "recoveryPointThresholdInMinutes": 15}}


@pytest.mark.parametrize(
    ("keep", "retention", "rpo"),
    [("24h", "2h:all", ""), ("", "24h:1h,2h:all", ""), ("", "soon", ""), ("", "", "90s"), ("", "", "0m")],
)
def test_what_means_nothing_is_refused_before_a_server_is_asked(keep: str, retention: str, rpo: str) -> None:
    with pytest.raises(Refused):
        _ours(keep, retention, rpo)
