"""What the verbs say before they act, and whom they ask (R-FO-3, R-FB-6)."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest

from tests.front.cli.replica.conftest import Side, Sides
from tests.recovery.worlds import GROUP

STOPPED = 130


class Terminal(StringIO):
    """A person who has typed something."""

    def isatty(self) -> bool:
        return True


Types = Callable[[str], None]


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Types:
    """Return what puts a person at the terminal."""
    return lambda words: monkeypatch.setattr("sys.stdin", Terminal(words))


def test_a_person_is_told_direction_and_consequence_and_may_say_no(side: Side, types: Types) -> None:
    types("n\n")
    newest = side.world.numbers()[-1]
    head = next(side.world.vault.log(GROUP).numbers())
    done = side("fail-over", code=STOPPED)
    assert f"db, web: over to this host, as of shop/{newest}" in done.err
    assert "what was written after it stays over there" in done.err
    assert "Whoever writes shop can publish nothing more.\nGo on? [y/N]" in done.err
    assert "nothing was done" in done.err
    assert next(side.world.vault.log(GROUP).numbers()) == head
    types("y\n")
    side("fail-over")
    assert set(side.world.running()) == {"db", "web"}


def test_what_was_begun_goes_on_without_a_question(side: Side, types: Types) -> None:
    side("fail-over")
    types("")
    assert "Go on?" not in side("fail-over").err


@pytest.mark.parametrize("words", ["--yes", "--json"])
def test_programs_are_not_asked(side: Side, types: Types, words: str) -> None:
    types("")
    assert "Go on?" not in side("fail-over", words).err
    assert set(side.world.running()) == {"db", "web"}


def test_whoever_is_no_person_is_told_and_not_asked(side: Side) -> None:
    done = side("fail-over")
    assert "db, web: over to this host" in done.err
    assert "Go on?" not in done.err


def test_before_the_end_of_a_failover_a_person_hears_what_is_lost(side: Side, types: Types) -> None:
    first, *_ = side.world.numbers()
    side("fail-over")
    types("n\n")
    done = side("change-point", f"{GROUP}/{first}", code=STOPPED)
    assert f"db, web: anew from shop/{first} on this host; what they wrote here is thrown away" in done.err
    types("n\n")
    done = side("cancel", code=STOPPED)
    assert "db, web: removed from this host, with all that they wrote here" in done.err
    types("n\n")
    done = side("commit", code=STOPPED)
    assert "db, web: here to stay, and not to be cancelled any more" in done.err
    assert "The other points of shop are removed" in done.err
    types("n\n")
    assert "are removed" not in side("commit", "--keep-points", code=STOPPED).err
    assert len(side.world.numbers()) == 3
    types("y\n")
    side("commit")
    types("")
    assert "Go on?" not in side("commit").err, "it is decided"


def test_on_the_way_home_each_side_says_what_becomes_of_it(sides: Callable[..., Sides], types: Types) -> None:
    both = sides()
    types("")
    assert "Go on?" not in both.home("fail-back").err, "new images beside the old ones harm nobody"
    done = both.away("hand-over", code=STOPPED)
    assert "db, web of shop~2: shut down here, and off until the other side takes them over" in done.err
    assert set(both.journey.running()) == {"db", "web"}
    both.journey.hand_over()
    types("no\n")
    done = both.home("fail-back", code=STOPPED)
    assert "db, web: home to this host; shop~2 is left" in done.err
    assert both.journey.at_home() == {}
    both.home("fail-back", "--yes")
    types("\n")
    done = both.home("cancel", code=STOPPED)
    assert "db, web: here again what they were before the failback, and off" in done.err
    both.home("commit", "--yes")
    types("\n")
    done = both.away("release", code=STOPPED)
    assert "db, web: removed from the host where they were recovered, with their disks there" in done.err
    assert both.journey.host.machines() == ("db", "web")
