"""What a vault says that it waits for while a host has not answered, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from bascule.drivers.sites.hosts import AwayHosts, HomeHosts, Lines, SourceHosts, Way
from bascule.model.items import Headway
from bascule.model.policies import Policy
from bascule.model.vault.commands import Json, Result
from bascule.model.vault.route import Route
from bascule.ports.sites import Order, Waiting
from bascule.ports.vault.postings import Posting, Standing

NOON = 1_800_000_000.0
ORDER = Order("north", "web", 3, 1, "j1/level")
FAR = Headway(3 << 20, 12 << 20, 1e6, 9.0)


@dataclass
class Quiet:
    """Hosts that answer nothing; ``now`` is how the last posting stands, ``facts`` what they said."""

    now: Standing
    facts: Mapping[str, Json] = field(default_factory=dict)
    asked: list[Posting] = field(default_factory=list)

    def ask(self, posting: Posting) -> Result | None:
        self.asked.append(posting)
        return None

    def standing(self, _host: str, _id: str) -> Standing:
        return self.now

    def said(self, _host: str, _group: str) -> Mapping[str, Json]:
        return self.facts


def lines(postings: Quiet) -> Lines:
    way = Way(Route("h1", "one#web", "h2"), Policy(), "h1")
    return Lines(postings, lambda _vault, _item: way, lambda: NOON)


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing(None), "host h1 has never been heard of since it joined: level waits until it is back"),
        (Standing(NOON - 900), "host h1 was not heard of since 2027-01-15T07:45:00+00:00: level waits"),
        (Standing(NOON - 9, ("fence", "cancel")), "host h1 is to end fence, cancel first, then level"),
        (Standing(NOON - 9, (), FAR), "host h1 was told to level, and has not said what became of it"),
    ],
)
def test_an_order_without_an_answer_says_why(standing: Standing, said: str) -> None:
    with pytest.raises(Waiting) as waiting:
        HomeHosts(lines(Quiet(standing))).level(ORDER)
    assert waiting.value.message.startswith(said)
    assert waiting.value.headway == standing.headway


def test_a_first_copy_says_how_far_it_is_and_what_is_wrong_with_it() -> None:
    facts: dict[str, Json] = {
        "state": "initial replication",
        "headway": {"done_bytes": 3 << 20, "total_bytes": 12 << 20, "rate_bytes": 1e6, "seconds_left": 9.0},
    }
    with pytest.raises(Waiting) as waiting:
        SourceHosts(lines(Quiet(Standing(NOON), facts))).is_seeded(ORDER)
    assert (waiting.value.message, waiting.value.headway) == (
        "host h1 says of web: initial replication",
        FAR,
    )
    facts |= {"trouble": {"message": "the store is full"}, "headway": {"done_bytes": "many"}}
    with pytest.raises(Waiting, match="initial replication: the store is full") as waiting:
        SourceHosts(lines(Quiet(Standing(NOON), facts))).is_equal(ORDER, 4)
    assert waiting.value.headway is None, "what a host says is not believed to be well formed"
    with pytest.raises(Waiting, match=r"not heard of since .*; it said of web then: initial replication"):
        SourceHosts(lines(Quiet(Standing(NOON - 3600), facts))).is_seeded(ORDER)


def test_a_policy_waits_for_a_host_that_is_in_touch_and_is_left_for_one_that_is_not() -> None:
    """R-P-5: a machine whose host is down has no job that stands in the way of its failover."""
    with pytest.raises(
        Waiting, match="host h1 was told to follow-policy, and has not said what became of it"
    ):
        SourceHosts(lines(Quiet(Standing(NOON - 9)))).follow(ORDER)
    away = Quiet(Standing(NOON - 900))
    assert "follows the policy as it was until it is back" in SourceHosts(lines(away)).follow(ORDER)
    assert "host h2 was not heard of since" in AwayHosts(lines(away)).follow_back(ORDER)
    posting = away.asked[-1]
    assert (posting.host, posting.verb, posting.group) == ("h2", "follow-policy", "web")
    assert set(posting.arguments) == {"policy"}
