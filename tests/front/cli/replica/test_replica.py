"""``bascule replica`` on hosts in memory: what it says, refuses and shows."""

from __future__ import annotations

from tests.front.cli.replica.conftest import Side
from tests.recovery.worlds import GROUP


def test_a_commit_removes_the_other_points_and_says_so(side: Side) -> None:
    """R-FO-3."""
    side("fail-over")
    newest = side.world.numbers()[-1]
    said = side("commit")
    assert "removed the other points of shop: 2" in said.err
    assert f"--group {GROUP}~2 --take-over" in said.out
    assert side.world.numbers() == [newest]
    assert "committed: no cancel now" in side("cancel", code=2).err


def test_a_commit_may_leave_the_other_points(side: Side) -> None:
    side("fail-over")
    side("commit", "--keep-points")
    assert len(side.world.numbers()) == 3


def test_the_other_points_are_there_until_the_commit(side: Side) -> None:
    """R-FO-5, R-RP-4."""
    first, *_ = side.world.numbers()
    side("fail-over")
    side("change-point", f"{GROUP}/{first}")
    assert side.world.running() == side.world.at(first)
    side("cancel")
    assert len(side.world.numbers()) == 3


def test_status_shows_which_tests_count(side: Side) -> None:
    """R-FO-1."""
    side("test")
    assert side("status", "--json").document["tests"] == []
    side("clean-up", "--notes", "answers on port 443")
    assert "There is no test" in side("clean-up").out
    (test,) = side("status", "--json").document["tests"]
    newest = side.world.numbers()[-1]
    assert (test["point"], test["notes"]) == (f"{GROUP}/{newest}", "answers on port 443")
    assert side("status").out.splitlines()[-1].endswith("answers on port 443")


def test_machines_that_were_taken_over_are_told_which_group_they_belong_to(side: Side) -> None:
    side("fail-over", "--name", "db=db-2")
    for name in ("db-2", "web"):
        assert f'"group": "{GROUP}~2"' in side.world.host.marked(name)
        assert '"store": "mem://"' in side.world.host.marked(name)
    side("test")
    assert all(side.world.host.marked(f"{name}-test") == "" for name in ("db-2", "web")), (
        "copies are no members"
    )


def test_every_verb_takes_the_name_of_the_group_whatever_generation_it_is_at(side: Side) -> None:
    """R-FO-2, R-RP-4: nobody has to know how often the machines changed sides."""
    world = side.world
    for log in ("shop~2", "shop~3"):  # over to others and back, and none of it is known here
        with world.vault.branch((GROUP, world.numbers()[-1]), log, writer="others"):
            pass
        number = world.publish(log)
    side("test")
    assert world.running() == world.at(number, "-test")
    side("clean-up")
    assert side("fail-over", "--json").document["log"] == "shop~4"
    assert world.running() == world.at(number)
    assert side("fail-over", "--json").document["log"] == "shop~4", "asked again it is the same failover"
    assert side("change-point", "--json").document["log"] == "shop~5"
    side("commit")
    assert "the failover of shop~3 is committed" in side("change-point", code=2).err
    refused = side("fail-over", code=2)
    assert "the machines of shop~5 are on this host already, since the failover of shop~3" in refused.err
    assert world.running() == world.at(number)


def test_a_numbered_point_is_of_the_generation_that_it_is_named_with(side: Side) -> None:
    """R-FO-7: point 4 of `shop` is another one than point 4 of `shop~2`."""
    world = side.world
    first, *_ = world.numbers()
    with world.vault.branch((GROUP, first), "shop~2", writer="others"):
        pass
    world.publish("shop~2")
    refused = side("fail-over", f"{GROUP}/{first}", code=2)
    assert "the machines of shop are written to shop~2 by now" in refused.err
    assert "name shop~2 in place of shop" in refused.err
    assert world.running() == {}
    side("test", f"{GROUP}/{first}")
    assert world.running() == world.at(first, "-test"), "an old point can be tried"
    assert "of the test of shop is left" in side("clean-up").out
    assert world.running() == {}
