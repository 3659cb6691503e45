"""Failback to the disks that machines left: exact, harmless until it is done; it may die at every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bascule.data.store import DiskKey
from bascule.model.errors import Refused, Unavailable
from bascule.model.machines import Power
from bascule.model.notes import from_text
from bascule.recovery.fail_back import cancel, commit, complete, synchronise
from bascule.recovery.fail_over import bring_up, fail_over, release
from bascule.recovery.fail_over import cancel as take_back
from bascule.recovery.fail_over import commit as stay
from bascule.recovery.generations import is_handed_over, lineage
from bascule.recovery.record import Kind, Phase
from bascule.recovery.shapes.asked import Asked
from bascule.recovery.shapes.shape import Shape
from tests.recovery.journeys import AWAY, SAME, Journey
from tests.recovery.worlds import BLOCK, GROUP, MACHINES, SIZE, Died, World, called


@pytest.fixture
def journey(tmp_path: Path) -> Journey:
    return Journey(tmp_path)


def test_machines_come_home_as_they_left_and_only_what_differs_travels(journey: Journey) -> None:
    _, first = synchronise(journey.home_site(), AWAY, SAME)
    changed = 2 * len(MACHINES) * BLOCK  # one block of each disk
    assert first.written_bytes + first.zeroed_bytes <= changed + BLOCK  # and what the first host wrote
    journey.work(7)
    held = journey.hand_over()
    assert all(journey.power_of(journey.host, name) is Power.OFF for name in MACHINES)
    _, last = complete(journey.home_site(), AWAY)
    assert last.written_bytes + last.zeroed_bytes <= changed
    assert last.compared_bytes == 0
    assert journey.at_home() == held
    assert lineage(journey.vault, GROUP).newest == f"{GROUP}~3"


def test_the_old_disks_are_only_read(journey: Journey) -> None:
    """R-HV-5."""
    journey.go_home()
    commit(journey.home_site(), AWAY)
    now = journey.held_at_home()
    assert {words: now[words] for words in journey.before} == journey.before


def test_disks_come_home_in_the_order_they_had_for_the_first_is_booted_from(journey: Journey) -> None:
    before = journey.home.definition("db")
    journey.home.define(replace(before, disks=before.disks[::-1]))
    journey.go_home()
    order = [disk.id for disk in journey.home.definition("db").disks]
    assert order == [disk.id for disk in before.disks[::-1]] == ["data", "root"]


def test_what_nobody_saw_is_kept_as_a_point_of_its_own(journey: Journey) -> None:
    """R-FO-7."""
    journey.go_home()
    (orphan,) = journey.orphans()
    with journey.vault.peek(orphan) as point:
        for key in point.disks():
            found = bytearray(SIZE)
            point.disk(key).read_into(0, memoryview(found))
            assert found == journey.before[f"/{key.machine}/{key.disk}"]


def test_a_disk_that_grew_after_its_last_point_is_kept_as_large_as_it_is(journey: Journey) -> None:
    """R-FO-7."""
    newest = journey.numbers()[-1]
    grown = journey.truth[newest]["db", "data"] + bytes(BLOCK) + b"nobody saw this".ljust(BLOCK)
    journey.home.images["/db/data"].content[:] = grown
    journey.go_home(whole=True)
    (orphan,) = journey.orphans()
    with journey.vault.peek(orphan) as point:
        kept = point.disk(DiskKey("db", "data"))
        found = bytearray(kept.size_bytes)
        kept.read_into(0, memoryview(found))
    assert found == grown


@pytest.mark.slow
def test_where_nothing_was_written_there_is_no_orphan(journey: Journey) -> None:
    newest = journey.numbers()[-1]
    journey.home.images["/db/data"].content[:] = journey.truth[newest]["db", "data"]
    journey.go_home()
    assert journey.orphans() == []


def test_replication_goes_on_with_what_changed_since_the_return(journey: Journey) -> None:
    """R-HV-3: reverse replicate."""
    journey.go_home()
    journey.work(11, journey.home)
    done = journey.cycle(journey.home, f"{GROUP}~3")
    assert done.compared == ()
    assert done.copied.read_bytes == 2 * len(MACHINES) * BLOCK


def test_a_machine_that_still_runs_at_home_is_not_touched(journey: Journey) -> None:
    journey.home.start("web")
    with pytest.raises(Refused, match="web runs here"):
        synchronise(journey.home_site(), AWAY, SAME)
    assert journey.held_at_home() == journey.before


def test_it_is_not_completed_while_the_other_side_runs(journey: Journey) -> None:
    with pytest.raises(Refused, match="there is no failback"):
        complete(journey.home_site(), AWAY)
    synchronise(journey.home_site(), AWAY, SAME)
    with pytest.raises(Refused, match="hand them over"):
        complete(journey.home_site(), AWAY)
    assert journey.at_home() == {}


def test_it_is_not_completed_over_a_machine_that_somebody_started_at_home_meanwhile(journey: Journey) -> None:
    """R-FO-7: a failback never stops, nor stands beside, a machine that it did not start."""
    synchronise(journey.home_site(), AWAY, SAME)
    held = journey.hand_over()
    journey.home.start("web")
    with pytest.raises(Refused, match="web runs here"):
        complete(journey.home_site(), AWAY)
    assert set(journey.at_home()) == {"web"}
    journey.home.cut_power("web")
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == held


def test_a_machine_that_is_not_there_any_more_is_made(journey: Journey) -> None:
    """R-HV-4: other location."""
    for name in MACHINES:
        journey.home.forget(name)
    for words in journey.before:
        journey.home.images.pop(words)
    held = journey.go_home()
    assert journey.at_home() == held
    assert journey.home.definition("db").hardware.nics[0].network == "lan"


def test_a_network_that_is_not_here_is_refused_first(journey: Journey) -> None:
    journey.home.forget("web")
    with pytest.raises(Refused, match="no network there"):
        synchronise(journey.home_site(), AWAY, Shape((Asked(networks={"lan": "there"}),)))
    assert set(journey.home.images) == set(journey.before)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["synchronised", "handed over", "completed"])
def test_cancel_puts_back_what_was(journey: Journey, moment: str) -> None:
    synchronise(journey.home_site(), AWAY, SAME)
    if moment != "synchronised":
        journey.hand_over()
    if moment == "completed":
        complete(journey.home_site(), AWAY)
    for _ in range(2):
        cancel(journey.home_site(), AWAY)
    assert journey.held_at_home() == journey.before
    assert journey.at_home() == {}
    assert [journey.home.definition(name) for name in MACHINES] == [journey.definition(n) for n in MACHINES]
    assert lineage(journey.vault, GROUP).newest == AWAY
    assert not is_handed_over(journey.vault, AWAY), "machines that run there again have more to say"
    for name in MACHINES:
        journey.host.start(name)
    journey.work(9)
    held = journey.go_home()
    assert journey.at_home() == held


def test_a_cancel_leaves_what_another_host_began_meanwhile(journey: Journey, tmp_path: Path) -> None:
    record, _ = synchronise(journey.home_site(), AWAY, SAME)
    journey.hand_over()
    journey.home_site().records.advance(record, Phase.CHOSEN, log=f"{GROUP}~3")
    other = World(tmp_path / "other")
    other.vault = other.serving._vault = journey.vault
    fail_over(other.site(), AWAY, SAME)
    cancel(journey.home_site(), AWAY)
    assert lineage(journey.vault, GROUP).newest == f"{GROUP}~3"


def test_the_other_side_is_cleared_after_the_return_and_not_before(journey: Journey) -> None:
    with pytest.raises(Refused, match="belong to this side"):
        release(journey.site(), GROUP)
    journey.go_home()
    with pytest.raises(Refused, match="is not committed"):
        release(journey.site(), GROUP)
    commit(journey.home_site(), AWAY)
    release(journey.site(), GROUP)
    assert journey.is_empty()
    assert set(journey.at_home()) == set(MACHINES)


def test_a_commit_removes_the_points_of_the_side_that_was_left(journey: Journey) -> None:
    """R-HV-3: what the next failback counts from stays, and so does what a failover of it needs."""
    for _ in range(2):
        journey.work(5)
        journey.cycle(journey.host, AWAY)
    journey.go_home()
    before = [point.number for point in journey.vault.points(AWAY)]
    assert len(before) > 3
    commit(journey.home_site(), AWAY)
    assert [point.number for point in journey.vault.points(AWAY)] == before[-1:]
    assert len(journey.orphans()) == 1
    release(journey.site(), GROUP)
    journey.work(6, journey.home)
    away = f"{GROUP}~3"
    journey.cycle(journey.home, away)
    held = journey.hand_over(journey.home, away)
    fail_over(journey.site(), away, SAME)
    assert journey.running() == held


def test_machines_that_were_renamed_over_there_come_home_to_their_own_disks(tmp_path: Path) -> None:
    """R-FO-4: all of a group, and to the names that they have here."""
    journey = Journey(tmp_path, called(db="db-2", web="web-2"))
    assert set(journey.running()) == {"db-2", "web-2"}
    _, first = synchronise(journey.home_site(), AWAY, SAME)
    assert first.written_bytes + first.zeroed_bytes <= (2 * len(MACHINES) + 1) * BLOCK
    held = journey.hand_over()
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == {name.removesuffix("-2"): disks for name, disks in held.items()}
    commit(journey.home_site(), AWAY)
    release(journey.site(), GROUP)
    assert journey.is_empty()
    done = journey.cycle(journey.home, f"{GROUP}~3")
    assert done.compared == ()


def test_home_from_an_older_point_is_that_point_and_what_was_written_since(tmp_path: Path) -> None:
    """Both sides wrote, and the disks at home hold points behind the one that was booted."""
    journey = Journey(tmp_path, number=1)
    oldest = journey.truth[journey.base]
    journey.work(9)
    journey.write(journey.home.images["/web/root"].content, 12)
    held = journey.go_home()
    assert journey.at_home() == held
    for key, content in oldest.items():
        touched = {3, 9} if key.disk == "root" else {4, 10}
        for block in set(range(SIZE // BLOCK)) - touched:
            found = held[key.machine][key.disk][block * BLOCK : (block + 1) * BLOCK]
            assert found == content[block * BLOCK : (block + 1) * BLOCK], f"{key} block {block}"


@pytest.mark.lab
@pytest.mark.parametrize("verb", ["failover", "failback"])
def test_a_commit_that_dies_at_any_step_is_completed_by_asking_again(tmp_path: Path, verb: str) -> None:
    """R-FO-3: until it is done nothing is half removed, and a locked point stays."""
    step = 0
    while True:
        step += 1
        journey = Journey(tmp_path / f"{step}", stays=False)
        locked, *_ = journey.numbers()
        journey.vault.lock(GROUP, locked, journey.clock.now() + 1000)
        if verb == "failback":
            stay(journey.site(), GROUP, keeps_points=True)
            journey.go_home()
        site, group = (journey.home_site(), AWAY) if verb == "failback" else (journey.site(), GROUP)
        does = commit if verb == "failback" else stay
        assert len(journey.numbers()) == 3
        journey.dies_at(step)
        try:
            does(site, group)
        except Died:
            journey.lives()
            does(site, group)
        else:
            break
        assert journey.numbers() == [locked, journey.base], f"step {step}"
        with journey.vault.peek(GROUP, journey.base) as point:
            found = bytearray(SIZE)
            point.disk(DiskKey("db", "root")).read_into(0, memoryview(found))
            assert found == journey.truth[journey.base]["db", "root"], f"step {step}"
        with pytest.raises(Refused, match="fail"):
            cancel(site, group) if verb == "failback" else take_back(site, group)
    assert step > 8


@pytest.mark.slow
def test_there_and_back_many_times(journey: Journey) -> None:
    """The disks never lie on more than one older one (`melt`)."""
    journey.go_home()
    commit(journey.home_site(), AWAY)
    release(journey.site(), GROUP)
    for turn in range(3):
        there = lineage(journey.vault, GROUP).newest
        journey.work(turn, journey.home)
        journey.cycle(journey.home, there)
        held = journey.hand_over(journey.home, there)
        fail_over(journey.site(), there, SAME)
        assert journey.running() == held, f"turn {turn}"
        stay(journey.site(), there)
        journey.work(turn + 5)
        away = lineage(journey.vault, GROUP).newest
        journey.cycle(journey.host, away)
        synchronise(journey.home_site(), away, SAME)
        held = journey.hand_over(group=away)
        complete(journey.home_site(), away)
        assert journey.at_home() == held, f"turn {turn}"
        commit(journey.home_site(), away)
        release(journey.site(), there)
        places = [disk.words for name in MACHINES for disk in journey.home.definition(name).disks]
        assert all(journey.home_images.below[words].words in journey.before for words in places)


def deaths(tmp_path: Path, part: int) -> range:
    """Return steps to die at: one part of all that a failback takes, spread over the whole way."""
    journey = Journey(tmp_path / "count")
    journey.dies_at(-1)
    journey.go_home()
    assert journey.fate.steps > 100
    return range(1 + part, journey.fate.steps + 1, PARTS)


PARTS = 8
EVERY_PART = [part if part == 3 else pytest.param(part, marks=pytest.mark.long) for part in range(PARTS)]


@pytest.mark.lab  # many worlds, many seconds
@pytest.mark.parametrize("part", EVERY_PART)
def test_a_death_at_any_step_is_made_good_by_asking_again(tmp_path: Path, part: int) -> None:
    for step in deaths(tmp_path, part):
        journey = Journey(tmp_path / str(step))
        held = journey.running()
        journey.dies_at(step)
        with pytest.raises(Died):
            journey.go_home()
        journey.lives()
        if journey.home_site().records.find(AWAY, Kind.FAILBACK) is None or not journey.home.running:
            _finish(journey)
        complete(journey.home_site(), AWAY)
        assert journey.at_home() == held, f"step {step}"
        assert not [name for name in MACHINES if journey.power_of(journey.host, name) is Power.RUNNING]
        assert len(journey.orphans()) == 1, f"step {step}"


def _finish(journey: Journey) -> None:
    """Ask for each verb again until all are done."""
    try:
        synchronise(journey.home_site(), AWAY, SAME)
    except Refused:  # further on already
        assert journey.home_site().records.known(AWAY, Kind.FAILBACK).number
    if lineage(journey.vault, GROUP).newest == AWAY:
        journey.hand_over()


@pytest.mark.lab  # many worlds, many seconds
@pytest.mark.parametrize("part", EVERY_PART)
def test_a_death_at_any_step_can_be_cancelled_and_nothing_here_has_changed(tmp_path: Path, part: int) -> None:
    for step in deaths(tmp_path, part):
        journey = Journey(tmp_path / str(step))
        journey.dies_at(step)
        with pytest.raises(Died):
            journey.go_home()
        journey.dies_at(step % 7 + 1)
        try:
            cancel(journey.home_site(), AWAY)
        except Died:
            journey.lives()
            cancel(journey.home_site(), AWAY)
        journey.lives()
        assert journey.held_at_home() == journey.before, f"step {step}"
        assert journey.at_home() == {}, f"step {step}"


def test_a_guest_that_does_not_power_off_stays_where_it_is(journey: Journey) -> None:
    synchronise(journey.home_site(), AWAY, SAME)
    journey.host.rest = lambda name, _seconds: (_ for _ in ()).throw(Unavailable(name))
    with pytest.raises(Unavailable):
        journey.hand_over()
    assert set(journey.running()) == set(MACHINES)
    with pytest.raises(Refused, match="hand them over"):
        complete(journey.home_site(), AWAY)


def test_machines_whose_host_was_down_are_handed_over_as_it_left_them(journey: Journey) -> None:
    held = journey.running()
    synchronise(journey.home_site(), AWAY, SAME)
    journey.host.lose_power()
    journey.serving.up.clear()
    journey.hand_over()
    assert all(journey.serving.is_up(folder) for folder in journey.serving.kept)
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == held


def test_machines_that_were_handed_over_do_not_start_where_they_were(journey: Journey) -> None:
    """R-FO-7: the other side may be starting them just now, and counts on it that nothing is missing."""
    journey.hand_over()
    with pytest.raises(Refused, match="were handed over"):
        bring_up(journey.site(), GROUP)
    assert not journey.host.running


def test_asked_again_after_the_host_was_down_they_run_at_home_again(journey: Journey) -> None:
    held = journey.go_home()
    journey.home.lose_power()
    complete(journey.home_site(), AWAY)
    assert journey.at_home() == held


def test_keys_of_disks_are_those_of_the_machines(journey: Journey) -> None:
    journey.go_home()
    with journey.vault.peek(f"{GROUP}~3") as point:
        notes = {m.id: from_text(m.definition) for m in point.info.machines}
        assert set(point.disks()) == {DiskKey(name, disk) for name in MACHINES for disk in ("root", "data")}
    assert {name: note.machine for name, note in notes.items()} == {
        name: journey.home.definition(name) for name in MACHINES
    }
