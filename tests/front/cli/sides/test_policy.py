"""Policies as they are typed: what is not named stays, what cannot be is refused. A server of ours."""

from __future__ import annotations

import pytest

from tests.front.api.serving import Served, served
from tests.front.cli.conftest import Desk
from tests.front.cli.remote.signed import owners

NORTH = ("--vault", "north")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("policies")) as found:
        yield found


@pytest.fixture
def owner(desk: Desk, server: Served) -> Desk:
    return owners(desk, server)


def listed(desk: Desk) -> dict[str, str]:
    """Return the rows of the table, by policy."""
    lines = desk.ok("policy", "ls", *NORTH).out.splitlines()
    return {words[0]: " ".join(words[1:]) for words in map(str.split, lines[1:])}


def begins(desk: Desk, policy: str) -> str | None:
    """Return when first copies begin by a policy."""
    found = desk.ok("policy", "ls", *NORTH, "--json").document["value"]
    (said,) = [one["properties"]["providerSpecificDetails"] for one in found if one["name"] == policy]
    return said["onlineReplicationStartTime"]


@pytest.mark.slow
def test_what_is_not_named_of_a_policy_stays_as_it_was(owner: Desk) -> None:
    ladder = ("--retention", "2h:all,24h:1h,30d:1d")
    owner.ok("policy", "set", "often", "--every", "5m", *ladder, "--rpo", "20m", *NORTH)
    assert listed(owner)["often"] == f"5 min 00 s {ladder[1]} 20 min never"
    owner.ok("policy", "set", "often", "--every", "30s", "--consistent-every", "12h", *NORTH)
    assert listed(owner)["often"] == f"30 s {ladder[1]} 20 min 12 h"
    owner.ok("policy", "set", "often", "--first-copy-at", "22:00", *NORTH)
    assert begins(owner, "often") == "22:00"
    owner.ok("policy", "set", "often", "--first-copy-at", "", *NORTH)
    assert begins(owner, "often") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--keep", "24h", "--retention", "2h:all"),
        ("--retention", "24h:1h,2h:all"),
        ("--retention", "soon"),
        ("--rpo", "90s"),
        ("--rpo", "0m"),
        ("--rpo", "1m", "--every", "15m"),
    ],
)
def test_what_means_nothing_is_refused_with_a_cure_and_changes_nothing(
    owner: Desk, words: tuple[str, ...]
) -> None:
    before = listed(owner)
    done = owner.run("policy", "set", "daily", *words, *NORTH, "--json")
    assert (done.code, bool(done.error["cure"])) == (2, True)
    assert listed(owner) == before
