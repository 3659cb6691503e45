"""Failback by a full download: the old disks are neither needed nor compared nor changed (R-HV-2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bascule.model.errors import Refused
from bascule.recovery.fail_back import cancel, commit, complete, synchronise
from bascule.recovery.pedigree import returning
from bascule.recovery.record import Kind, Phase
from tests.recovery.journeys import AWAY, SAME, Journey
from tests.recovery.worlds import BLOCK, GROUP, MACHINES, SIZE, Died

ALL = SIZE * 2 * len(MACHINES)


@pytest.fixture
def journey(tmp_path: Path) -> Journey:
    return Journey(tmp_path)


def test_whole_disks_travel_and_none_is_compared(journey: Journey) -> None:
    """R-HV-2."""
    held = journey.hand_over()
    _, did = synchronise(journey.home_site(), AWAY, SAME, whole=True)
    assert did.compared_bytes == 0
    assert did.written_bytes + did.zeroed_bytes == ALL
    _, last = complete(journey.home_site(), AWAY)
    assert last.written_bytes + last.zeroed_bytes == 0, "the point that was handed over is the newest"
    assert journey.at_home() == held
    assert journey.home_images.below == {}, "no new image lies on an old one"


def test_the_old_disks_stay_and_a_commit_says_where(journey: Journey) -> None:
    """R-FO-7, R-HV-5: what nobody saw is a point of its own, as after every failback."""
    journey.go_home(whole=True)
    assert len(journey.orphans()) == 1
    commit(journey.home_site(), AWAY)
    now = journey.held_at_home()
    assert {words: now[words] for words in journey.before} == journey.before
    for words in journey.before:
        assert any(f"does not need {words} any more" in said for said in journey.said)


def test_replication_goes_on_with_what_changed_since_the_return(journey: Journey) -> None:
    journey.go_home(whole=True)
    journey.work(11, journey.home)
    assert journey.cycle(journey.home, f"{GROUP}~3").compared == ()


def test_nothing_is_downloaded_while_the_other_side_runs(journey: Journey) -> None:
    with pytest.raises(Refused, match="still run on the other side"):
        synchronise(journey.home_site(), AWAY, SAME, whole=True)
    assert journey.held_at_home() == journey.before
    assert not journey.home_site().records.groups()


def test_a_failback_that_began_by_synchronising_goes_on_so(journey: Journey) -> None:
    synchronise(journey.home_site(), AWAY, SAME)
    journey.hand_over()
    with pytest.raises(Refused, match="began by synchronising"):
        synchronise(journey.home_site(), AWAY, SAME, whole=True)
    complete(journey.home_site(), AWAY)


def test_a_download_that_was_killed_goes_on_where_it_was(journey: Journey) -> None:
    """R-HV-2: disks that were there are neither fetched nor written again."""
    held = journey.hand_over()
    with pytest.raises(Died):
        _until(journey, lambda: len(_marked(journey)) == 2)
    journey.lives()
    _, did = synchronise(journey.home_site(), AWAY, SAME, whole=True)
    assert did.settled_bytes == 2 * SIZE - BLOCK, "all but a block of zeroes, which is nothing to fetch"
    assert did.written_bytes + did.zeroed_bytes == 2 * SIZE
    assert did.fetched_bytes < 3 * SIZE
    assert "1 MiB of them were here since an earlier try" in journey.said
    assert _marked(journey) == [], "marks of a whole disk are of no use"
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == held


def test_an_image_that_is_gone_is_downloaded_anew_whatever_was_marked_of_it(journey: Journey) -> None:
    held = journey.hand_over()
    with pytest.raises(Died):
        _until(journey, lambda: len(_marked(journey)) == 2)
    journey.lives()
    begun = set(journey.home.images) - set(journey.before)
    journey.home.images.pop(min(begun))
    _, did = synchronise(journey.home_site(), AWAY, SAME, whole=True)
    assert did.written_bytes + did.zeroed_bytes == 3 * SIZE
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == held


def test_a_failback_that_is_cancelled_leaves_no_marks(journey: Journey) -> None:
    journey.hand_over()
    with pytest.raises(Died):
        _until(journey, lambda: len(_marked(journey)) == 1)
    journey.lives()
    cancel(journey.home_site(), AWAY)
    assert _marked(journey) == []


def _marked(journey: Journey) -> list[str]:
    marks = journey.home_site().records.folder(AWAY, Kind.FAILBACK) / "marks"
    return sorted(path.name for path in marks.rglob("*") if path.is_file())


def _until(journey: Journey, is_enough: Callable[[], bool]) -> None:
    """Download until something is so, and die then."""
    step = journey.fate.step

    def die() -> None:
        step()
        if is_enough():
            raise Died

    journey.fate.step = die
    try:
        synchronise(journey.home_site(), AWAY, SAME, whole=True)
    finally:
        journey.fate.step = step


@pytest.mark.lab  # many worlds, many seconds
def test_a_death_at_any_step_is_made_good_or_cancelled(tmp_path: Path) -> None:
    journey = Journey(tmp_path / "count")
    journey.hand_over()
    journey.dies_at(-1)
    synchronise(journey.home_site(), AWAY, SAME, whole=True)
    complete(journey.home_site(), AWAY)
    assert journey.fate.steps > 50
    for step in range(1, journey.fate.steps + 1, 5):
        journey = Journey(tmp_path / str(step))
        held = journey.hand_over()
        journey.dies_at(step)
        with pytest.raises(Died):
            _go_on(journey)
        journey.lives()
        if step % 2:
            cancel(journey.home_site(), AWAY)
            assert journey.held_at_home() == journey.before, f"step {step}"
            assert journey.at_home() == {}, f"step {step}"
        else:
            _go_on(journey)
            assert journey.at_home() == held, f"step {step}"


def _go_on(journey: Journey) -> None:
    """Ask as the command line does: for what is next."""
    log, phase = returning(journey.home_site(), GROUP)
    if phase in (None, Phase.SYNCING):
        synchronise(journey.home_site(), log, SAME, whole=True)
    complete(journey.home_site(), log)
