from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.data.store import MachineInfo, PointInfo
from bascule.model.errors import Refused, Unavailable
from bascule.model.health import Heartbeat, Level, Reason, reasons
from bascule.model.hours import OUTSIDE_OFFICE
from bascule.model.items import Mark, State, Wish
from bascule.model.machines import Hardware, MachineDefinition
from bascule.model.notes import MachineNote, to_text
from bascule.replication.provider.item import Item, called_at, places

from .scenes import BLOCK, SIZE, Scene

NO_THREAD = "can't start new thread"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.protect()
    return made


def events(scene: Scene) -> list[str]:
    return [event["event"] for event in scene.folder.item("web").events()]


def told_of(scene: Scene) -> list[Reason]:
    wish = scene.folder.item("web").wish()
    assert wish is not None
    return reasons(wish, scene.facts(), scene.clock.now(), Heartbeat(None, is_running=True))


def test_a_wish_becomes_points_and_facts_name_the_wish_that_they_obey(scene: Scene) -> None:
    """R-R-1, R-R-6."""
    item = scene.item()
    assert scene.step(item) == 5
    first = scene.facts()
    assert (first.state, first.generation) == (State.REPLICATING, 1)
    assert first.newest is not None
    assert first.totals.read_bytes == SIZE
    scene.write()
    captured = scene.clock.now()
    scene.step(item)
    second = scene.facts()
    assert second.newest is not None
    assert second.newest.number == first.newest.number + 1
    assert second.safe_as_of == second.newest.captured_at == captured
    assert second.totals.read_bytes == SIZE + BLOCK
    scene.must_be_replicated()


def test_a_machine_that_writes_nothing_is_safe_as_of_now_and_its_point_grows_old(scene: Scene) -> None:
    """R-R-6: current RPO and the latest point are two figures; an idle look stores nothing."""
    item = scene.item()
    scene.step(item)
    newest, stored = scene.facts().newest, len(list(scene.objects.list("")))
    for _ in range(20):
        looked = scene.clock.now()
        scene.step(item)
        assert scene.facts().safe_as_of == looked
    assert scene.facts().newest == newest
    assert len(list(scene.objects.list(""))) == stored
    scene.clock.time += 300
    scene.step(item)
    assert scene.facts().newest != newest, "at last a point, which shows that the store takes one"


def test_another_process_goes_on_where_one_was_killed(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    scene.write()
    again = scene.item()  # the first one says nothing any more, as after a SIGKILL
    scene.step(again)
    assert scene.facts().totals.read_bytes == SIZE + BLOCK
    scene.must_be_replicated()


def test_a_pause_holds_until_it_is_taken_back(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    scene.wish(is_paused=True)
    scene.write()
    scene.step(item)
    assert (scene.facts().state, scene.facts().generation) == (State.PAUSED, 2)
    assert scene.facts().totals.cycles == 1
    scene.wish(is_paused=False)
    scene.step(item)
    assert (scene.facts().state, scene.facts().totals.cycles) == (State.REPLICATING, 2)
    scene.must_be_replicated()


def test_what_passes_is_tried_again_by_the_ladder_from_the_first_attempt_on(scene: Scene) -> None:
    """R-R-3: 1, 2, 4, 8 and 10 minutes after it, then every 30."""
    item, tries = scene.item(), []

    def away() -> None:
        tries.append(scene.clock.now())
        raise Unavailable("the store does not answer", cure="wait")

    scene.before_open = away
    for _ in range(7):
        scene.step(item)
    assert [round(at - tries[0]) for at in tries] == [0, 60, 120, 240, 480, 600, 2400]
    trouble = scene.facts().trouble
    assert trouble is not None
    assert (trouble.family, trouble.cure, trouble.tries) == ("unavailable", "wait", 7)
    assert events(scene).count("unavailable") == 1, "one trouble is one event"
    scene.before_open = lambda: None
    scene.step(item)
    assert scene.facts().trouble is None


def test_r_r_3_waits_count_from_the_start_of_the_first_attempt_and_not_from_its_end(scene: Scene) -> None:
    item, begun = scene.item(), []

    def away() -> None:
        begun.append(scene.clock.now())
        scene.clock.sleep(40)
        raise Unavailable("the store does not answer")

    scene.before_open = away
    for _ in range(6):
        scene.step(item)
    assert [round(at - begun[0]) for at in begun] == [0, 60, 120, 240, 480, 600]


def test_r_r_3_the_first_attempt_is_the_cycle_that_broke_and_not_the_new_session_after_it(
    scene: Scene,
) -> None:
    item = scene.item()
    scene.step(item)
    scene.write()
    broken = scene.clock.now()
    scene.objects.fail(times=1000)
    assert scene.step(item) == 0
    scene.clock.time += 20  # the second look takes its time too
    scene.before_open = lambda: scene.clock.sleep(5)
    scene.step(item)
    trouble = scene.facts().trouble
    assert trouble is not None
    assert (trouble.first_at, trouble.next_try_at) == (broken, broken + 60)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "no memory"),
        OSError(errno.ENOSPC, "full"),
        RuntimeError(NO_THREAD),
    ],
)
def test_r_r_3_low_memory_and_low_disk_pass_wherever_they_strike(scene: Scene, error: Exception) -> None:
    item = scene.item()
    assert item.fault(error) == 60
    trouble = scene.facts().trouble
    assert trouble is not None
    assert (trouble.family, trouble.code, bool(trouble.cure)) == ("unavailable", "scarcity", True)
    assert scene.facts().state is not State.STOPPED


def test_r_r_3_an_error_that_nobody_foresaw_stops_the_item(scene: Scene) -> None:
    scene.item().fault(ZeroDivisionError("by nought"))
    assert scene.facts().state is State.STOPPED


def test_r_r_3_a_machine_that_its_host_does_not_know_waits_for_a_person(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    scene.unknown.add("web")
    scene.step(item)  # the session that was open does not tell yet
    scene.hosts["web"].is_up = False
    scene.step(item)
    scene.step(item)
    facts = scene.facts()
    assert facts.state is State.STOPPED
    assert facts.trouble is not None
    assert (facts.trouble.code, facts.trouble.next_try_at) == ("missing", None)


def test_what_does_not_pass_waits_for_a_person_also_in_the_next_process(scene: Scene) -> None:
    """R-R-3: Critical, and says what to do; only a changed wish lets it try again."""
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise Refused("the key does not fit", cure="name the right key file", code="wrong-key")

    scene.before_open = refuse
    item = scene.item()
    for _ in range(5):
        scene.step(item)
    scene.step(scene.item())
    assert len(asked) == 1
    facts = scene.facts()
    assert facts.state is State.STOPPED
    assert facts.trouble is not None
    assert (facts.trouble.code, facts.trouble.next_try_at) == ("wrong-key", None)
    (told,) = told_of(scene)
    assert (told.level, told.code) == (Level.CRITICAL, "wrong-key")
    assert told.cure == "name the right key file; then `bascule resume web` tries again"
    scene.before_open = lambda: None
    scene.wish(key_file="right.key")
    scene.step(item)
    assert (scene.facts().state, scene.facts().trouble) == (State.REPLICATING, None)


def test_a_machine_that_is_off_is_no_error_and_goes_on_when_it_is_back(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    host = scene.hosts.pop("web")
    host.is_up = False
    scene.step(item)
    scene.step(item)
    assert (scene.facts().state, scene.facts().trouble) == (State.OFF, None)
    host.is_up = True
    scene.hosts["web"] = host
    scene.write()
    scene.step(item)
    assert scene.facts().state is State.REPLICATING
    assert scene.facts().totals.read_bytes == SIZE + BLOCK
    assert not {"unavailable", "machine-off"} & set(events(scene))


def test_a_lost_record_marks_for_resync_which_waits_for_its_hours(tmp_path: Path) -> None:
    """R-R-2: outside office hours by default."""
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    scene.boot_after_a_power_cut()
    scene.write()
    scene.step(item)
    scene.step(item)
    assert (scene.facts().mark, scene.facts().state) == (Mark.TRACKING_LOST, State.WAITING)
    entries = len(list(scene.vault.log("web").numbers()))
    while scene.facts().mark is not None:
        at = scene.clock.now()
        scene.step(item)
    assert 6.5 * 3600 <= at % 86400 - 12 * 3600 <= 6.6 * 3600, "half past six"
    assert len(list(scene.vault.log("web").numbers())) <= entries + 3, "waiting writes nothing"
    assert scene.facts().totals.sent_bytes <= SIZE + 2 * BLOCK
    scene.must_be_replicated()


def test_a_resync_that_is_asked_for_begins_at_once_and_compares_everything(tmp_path: Path) -> None:
    """R-R-2: on demand, in office hours too."""
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    scene.hosts["web"].disks["disk0"].content[100:104] = b"evil"  # behind the hypervisor's back
    scene.wish(resync=1)
    scene.step(item)
    assert (scene.facts().mark, scene.facts().resynced) == (None, 1)
    scene.must_be_replicated()
    scene.wish(exclude=("x",))
    scene.step(item)
    assert scene.facts().totals.cycles >= 2
    assert events(scene).count("marked-for-resync") == 1, "asked once, done once"


def test_what_is_replicated_anew_is_compared_at_once_if_its_changes_are_not_known(tmp_path: Path) -> None:
    """R-R-2, R-HV-3: until there is a point nothing protects a machine that came home."""
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    item.close()
    session = scene.facts().session
    (item.folder.path / "facts.json").unlink()  # as a host is to which it comes
    scene.boot_after_a_power_cut()
    scene.wish(take_over=session)
    anew = scene.item()
    scene.step(anew)
    assert (scene.facts().mark, scene.facts().state) == (None, State.REPLICATING)
    scene.must_be_replicated()


def test_changes_of_half_a_disk_mark_it_for_resync(tmp_path: Path) -> None:
    """R-R-2."""
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2))
    scene.step(item)
    scene.step(item)
    assert scene.facts().mark is Mark.TOO_MUCH
    scene.wish(resync=1)
    scene.step(item)
    assert scene.facts().mark is None
    scene.must_be_replicated()


def test_who_is_not_wanted_any_more_leaves_nothing_behind(scene: Scene) -> None:
    """R-P-6."""
    item = scene.item()
    scene.step(item)
    scene.folder.item("web").change(lambda _: None)
    assert item.step() is None
    assert scene.hosts["web"].disks["disk0"].records == {}
    assert not scene.folder.item("web").path.exists()


def test_a_machine_that_is_not_there_any_more_can_be_unprotected(scene: Scene) -> None:
    """R-P-6."""
    item = scene.item()
    scene.step(item)
    scene.unknown.add("web")
    scene.folder.item("web").change(lambda _: None)
    assert item.step() is None
    assert not scene.folder.item("web").path.exists()


def test_time_alone_raises_events_and_changes_nothing(scene: Scene) -> None:
    """R-R-6, R-OP-2: 153007 after 60 minutes without a point, and an RPO over its threshold."""
    item = scene.item()
    scene.step(item)
    scene.clock.time += 4000
    item.watch()
    item.watch()
    assert [name for name in events(scene) if name in ("153007", "rpo-over-threshold")] in (
        ["153007", "rpo-over-threshold"],
        ["rpo-over-threshold", "153007"],
    )
    scene.write()
    scene.step(item)
    item.watch()
    assert {"153007-ended", "rpo-over-threshold-ended"} <= set(events(scene))


def test_a_disk_that_is_left_out_is_shown_and_can_be_taken_in_later(tmp_path: Path) -> None:
    """R-P-7: "1 of 2 disks", and no new beginning."""
    scene = Scene(tmp_path)
    scene.add_disk("web", "disk1")
    scene.protect()
    scene.wish(exclude=("disk1",))
    item = scene.item()
    scene.step(item)
    assert [(disk.id, disk.is_protected) for disk in scene.facts().disks] == [
        ("disk0", True),
        ("disk1", False),
    ]
    assert scene.facts().totals.read_bytes == SIZE
    for _ in range(3):
        scene.write()
        scene.step(item)
    assert len(scene.hosts["web"].disks["disk1"].records) <= 1, "records of a disk left out do not pile up"
    scene.wish(exclude=())
    before = scene.facts().totals.read_bytes
    scene.step(item)
    assert scene.facts().totals.read_bytes - before <= SIZE + BLOCK
    assert all(disk.is_protected for disk in scene.facts().disks)
    assert scene.facts().mark is None
    scene.must_be_replicated()


def test_disks_that_come_and_go_are_noticed_and_cost_no_other_disk_a_copy(scene: Scene) -> None:
    """R-P-7, R-R-10."""
    item = scene.item()
    scene.step(item)
    scene.add_disk("web", "disk1")
    scene.step(item)
    assert scene.facts().totals.read_bytes <= 2 * SIZE
    assert len(scene.facts().disks) == 2
    del scene.hosts["web"].disks["disk1"]
    scene.step(item)
    scene.step(item)
    assert [disk.id for disk in scene.facts().disks] == ["disk0"]
    assert {"disk-added", "disk-removed"} <= set(events(scene))
    assert scene.facts().totals.read_bytes <= 2 * SIZE
    scene.must_be_replicated()


def test_without_room_for_fleeces_nothing_is_begun_and_the_cure_is_said(scene: Scene) -> None:
    """R-P-3; low disk is an error that passes (R-R-3)."""
    item = Item(scene.folder.item("web"), replace(scene.workshop(), free_bytes=lambda _: 1 << 20))
    scene.step(item)
    trouble = scene.facts().trouble
    assert trouble is not None
    assert (trouble.code, trouble.family, "room" in trouble.cure) == ("low-room", "unavailable", True)


def test_a_point_is_consistent_as_often_as_is_asked_also_of_an_idle_machine(scene: Scene) -> None:
    """R-RP-1: the others between them are crash-consistent, and freeze nothing."""
    scene.protect(app_consistent_seconds=60)
    item, found = scene.item(), []
    for _ in range(30):
        scene.step(item)
        newest = scene.facts().newest
        assert newest is not None
        found.append((newest.number, newest.consistency))
    assert len(dict(found)) == 3, "an idle machine becomes a point for that, and for nothing else"
    assert set(dict(found).values()) == {"filesystem"}
    scene.write()
    scene.step(item)
    assert scene.facts().newest.consistency == "crash"
    assert "only-crash-consistent" not in events(scene)


def test_a_silent_agent_costs_a_wait_now_and_then_and_no_point(scene: Scene) -> None:
    """R-RP-1: an event and a reason say so, until it answers again."""
    scene.protect(app_consistent_seconds=3600)
    scene.guest.is_silent = True
    item = scene.item()
    scene.step(item)
    facts = scene.facts()
    assert facts.newest is not None
    assert facts.newest.consistency == "crash"
    assert "does not answer" in facts.only_crash
    tried = facts.consistent_tried_at
    for _ in range(20):
        scene.write()
        scene.step(item)
    assert scene.facts().consistent_tried_at == tried, "not with every point"
    assert events(scene).count("only-crash-consistent") == 1
    assert [one.code for one in told_of(scene)] == ["only-crash-consistent"]
    scene.guest.is_silent = False
    scene.clock.time += 300
    scene.step(item)
    assert scene.facts().only_crash == ""
    assert scene.facts().app_consistent_at is not None


def test_r_r_4_an_item_is_held_to_a_limit_of_its_own_and_no_other_is(tmp_path: Path) -> None:
    """Two first copies of the same size: one at 100 KB a second, one as fast as it goes."""
    scene = Scene(tmp_path, ("slow", "quick"))
    scene.protect("slow", limit="100000")
    scene.protect("quick")
    begun = scene.clock.time
    items = {name: scene.item(name) for name in ("quick", "slow")}
    for name in ("quick", "slow", "quick"):
        items[name].step()
        scene.write(name)
    assert scene.clock.time == begun
    items["slow"].step()
    assert scene.clock.time - begun > 0.9 * SIZE / 100_000, "it waits until the line has carried its copy"


def test_machines_that_were_renamed_when_they_were_taken_over_are_kept_under_their_old_names(
    scene: Scene,
) -> None:
    """R-FO-4: else the next point of their group would be one of strangers."""
    note = to_text(MachineNote(MachineDefinition("db-2", Hardware(), ())))
    machines = (MachineInfo("db", "db", note, ()), MachineInfo("web", "web", "", ()))
    point = PointInfo("shop~2", 1, 0.0, 0.0, "crash", True, machines)
    words = ("/vm#db-2", "/vm#web")
    called = called_at(point, words)
    assert called == ("db", "web")
    wish = Wish("shop~2", words, "store", called=called)
    found = {name: (place, room.name) for name, place, room in places(wish, scene.protect())}
    assert found == {"db": ("/vm#db-2", "db"), "web": ("/vm#web", "web")}
