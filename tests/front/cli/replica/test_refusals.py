"""What ``bascule replica`` refuses: each time the group or machine, the cause and the cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bascule.data.store import KeyFile
from bascule.drivers.hypervisors.fake.host import Moment
from bascule.model.errors import Unavailable
from bascule.model.machines import DirectBoot
from tests.front.cli.conftest import Done
from tests.front.cli.replica.conftest import Side, Sides
from tests.recovery.worlds import GROUP, MACHINES

Make = Callable[..., Sides]
REFUSED, UNAVAILABLE = 2, 3


def said(done: Done, what: str, cure: str) -> None:
    """Check that an error names what it is about, and what to do."""
    message, *rest = done.err.split("what to do: ")
    assert what in message, done.err
    assert rest, f"no cure: {done.err}"
    assert cure in rest[-1], done.err


def at_home(sides: Sides) -> Sides:
    """Bring the machines home, and do not commit that."""
    sides.home("fail-back")
    sides.journey.hand_over()
    sides.home("fail-back")
    return sides


def test_a_failover_that_is_not_committed_is_not_brought_home(sides: Make) -> None:
    """R-HV-1."""
    both = sides(stays=False)
    what = "the failover of shop is not committed: db, web may still go to another point"
    for words in ((), ("--full",)):
        said(both.home("fail-back", *words, code=REFUSED), what, "bascule replica commit STORE shop")
    assert both.journey.held_at_home() == both.journey.before
    both.away("commit")
    both.home("fail-back")


@pytest.mark.slow
@pytest.mark.parametrize("words", ["fail-back", "fail-over", "test", "shape shop --cpus 2", "hand-over"])
def test_a_host_that_is_not_connected_is_named_and_nothing_is_done(sides: Make, words: str) -> None:
    """R-HV-1."""
    both = sides()
    logs = both.journey.vault.groups()

    def away(_verb: str, _moment: Moment) -> None:
        raise Unavailable("libvirt at qemu:///system does not answer", cure="see that libvirtd runs")

    both.journey.home.interrupt = away
    said(
        both.home(*words.split(), code=UNAVAILABLE),
        "libvirt at qemu:///system does not answer",
        "libvirtd runs",
    )
    both.journey.home.interrupt = lambda _verb, _moment: None
    assert both.journey.vault.groups() == logs
    assert both.journey.held_at_home() == both.journey.before
    both.home("fail-back")


def test_a_machine_that_is_made_anew_needs_networks_of_the_same_names(sides: Make) -> None:
    """R-HV-4."""
    both = sides()
    both.journey.home.forget("web")
    both.journey.home.lose_network("lan")
    done = both.home("fail-back", code=REFUSED)
    said(done, "web is to be made here, and this host has no network lan", "--network lan=ONE of none")
    assert both.journey.held_at_home() == both.journey.before


def test_a_machine_that_is_made_anew_has_to_fit(sides: Make) -> None:
    """R-HV-4."""
    both = sides()
    both.journey.home.forget("web")
    both.journey.home.shrink(memory_mib=128)
    done = both.home("fail-back", code=REFUSED)
    said(done, "web is to have 256 MiB of memory, and this host has 128 MiB", "another host")
    assert both.journey.held_at_home() == both.journey.before
    done = both.home("fail-back", "--name", "webb=web", code=REFUSED)
    said(done, "the point has no machine webb", "it has db, web")


@pytest.mark.parametrize("verb", ["fail-over", "fail-back", "commit", "hand-over", "shape", "test"])
def test_a_key_that_is_wrong_or_missing_is_said_before_anything_happens(side: Side, verb: str) -> None:
    """R-HV-6."""
    done = side.typed(verb, GROUP, code=REFUSED)
    said(done, "no key for mem:// was named", "--key-file FILE or BASCULE_KEY_FILE")
    wrong = side.world.root / "wrong"
    KeyFile.create(wrong, side.world.site().ids)
    done = side.typed(verb, GROUP, "--key-file", str(wrong), code=REFUSED)
    said(done, "this file does not open vault", "that `bascule key ls` lists")
    assert side.world.vault.groups() == [GROUP]
    assert side.world.running() == {}


def test_a_machine_that_still_runs_at_home_is_named(sides: Make) -> None:
    """R-FO-7."""
    both = sides()
    both.journey.home.start("db")
    said(both.home("fail-back", code=REFUSED), "db runs here", "shut it down first")


def test_machines_that_were_not_handed_over_are_not_downloaded_whole(sides: Make) -> None:
    """R-HV-2."""
    done = sides().home("fail-back", "--full", code=REFUSED)
    said(done, "db, web of shop~2 still run on the other side", "`bascule replica hand-over")


def test_a_failback_goes_on_as_it_began(sides: Make) -> None:
    """R-HV-2."""
    both = sides()
    both.home("fail-back")
    both.journey.hand_over()
    done = both.home("fail-back", "--full", code=REFUSED)
    said(done, "the failback of shop~2 began by synchronising", "without --full")


def test_nothing_is_cleared_before_the_way_home_is_certain(sides: Make) -> None:
    """R-HV-3, R-HV-5."""
    both = sides()
    said(both.away("release", code=REFUSED), "the machines of shop~2 belong to this side", "fail back first")
    at_home(both)
    done = both.away("release", code=REFUSED)
    said(done, "that shop~3 goes on in the place of shop~2 is not committed", "replica commit")
    assert set(both.journey.running()) == set()
    both.home("commit")
    both.away("release")


def test_what_is_decided_stays_decided(sides: Make) -> None:
    """R-FO-3, R-FO-5."""
    both = sides()
    done = both.away("cancel", code=REFUSED)
    said(done, "the failover of shop is committed: no cancel now", "fail back to the other side")
    done = both.away("change-point", code=REFUSED)
    said(done, "the failover of shop is committed: no other point now", "bascule replica fail-back")
    at_home(both)
    both.home("commit")
    done = both.home("cancel", code=REFUSED)
    said(done, "the failback of shop~2 is committed: no cancel now", "fail over again")


def test_a_failback_is_committed_once_its_machines_run(sides: Make) -> None:
    """R-HV-3."""
    both = sides()
    both.home("fail-back")
    done = both.home("commit", code=REFUSED)
    said(done, "the failback of shop~2 is synchronising: no commit now", "`bascule replica fail-back`")


def test_who_was_never_here_is_not_committed_cancelled_or_started(side: Side) -> None:
    for verb in ("commit", "cancel"):
        done = side(verb, code=REFUSED)
        said(done, "nothing of shop was taken over to this host", "bascule replica status")
    said(side("start", code=REFUSED), "there is no failover of shop on this host", "bascule replica status")


def test_a_group_and_a_point_that_are_not_there_are_named_with_those_that_are(side: Side) -> None:
    """R-RP-3."""
    for verb in ("fail-over", "test", "shape", "hand-over", "fail-back"):
        said(side(verb, "shopp", code=REFUSED), "there is no group shopp", "shop")
    for verb in ("fail-over", "test"):
        said(side(verb, f"{GROUP}/99", code=REFUSED), "shop/99", "bascule store ls")


def test_a_failover_goes_on_with_the_point_that_it_began_with(side: Side) -> None:
    """R-RP-4."""
    first, *_ = side.world.numbers()
    side("fail-over")
    done = side("fail-over", f"{GROUP}/{first}", code=REFUSED)
    said(done, "shop was failed over to point", "bascule replica change-point")


def test_a_guest_that_does_not_power_off_is_named_and_runs_on(sides: Make) -> None:
    """R-FO-2."""
    both = sides()
    db = both.journey.host.definition("db")
    deaf = replace(db.hardware, boot=DirectBoot("/kernel", command_line="temper=deaf"))
    both.journey.host.define(replace(db, hardware=deaf))
    done = both.away("hand-over", "--within", "1s", code=UNAVAILABLE)
    said(done, "db did not power off within 1 s", "cut its power")
    assert set(both.journey.running()) == set(MACHINES)


def test_machines_are_handed_over_where_they_are(sides: Make) -> None:
    """R-FO-2."""
    both = sides()
    for name in MACHINES:
        both.journey.home.forget(name)
    done = both.home("hand-over", code=REFUSED)
    said(done, "this host has no machine db, web of shop~2", "on the host where the machines run")
