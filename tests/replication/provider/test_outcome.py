"""What becomes of an item when the world around it fails: the rows of design note 0007 that need no guest."""

from __future__ import annotations

import errno
from itertools import pairwise
from pathlib import Path

import pytest

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable
from bascule.model.health import Heartbeat, Level, Reason, level_of, point_age_seconds, reasons, rpo_seconds
from bascule.model.hours import OUTSIDE_OFFICE
from bascule.model.items import DiskFact, Mark, State
from bascule.ports.machines import Recorded
from bascule.replication.provider.item import Item
from bascule.replication.provider.outcome import disk_changes, is_half_changed, scarcity

from .scenes import BLOCK, SIZE, Scene

DAY = 86400.0
UNIT = 4 * BLOCK  # what is stored as one piece


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.protect(rpo_threshold_seconds=300)
    return made


def events(scene: Scene) -> list[str]:
    return [event["event"] for event in scene.folder.item("web").events()]


def write_block(scene: Scene, block: int) -> None:
    scene.hosts["web"].write("disk0", block * BLOCK, scene.chance.randbytes(BLOCK))


def test_a_store_that_was_away_for_ten_minutes_costs_one_delta(scene: Scene) -> None:
    """R-R-3, R-R-6, R-R-10: the machine runs on; what it wrote meanwhile is sent once, block for block."""
    item = scene.item()
    scene.step(item)
    before = scene.facts()
    safe, begun = before.safe_as_of or 0, scene.clock.time
    scene.objects.fail(times=1 << 30)
    written: set[int] = set()
    while scene.clock.time - begun < 600:
        block = scene.chance.randrange(12)
        write_block(scene, block)
        written.add(block)
        scene.step(item)
        item.watch()
        facts = scene.facts()
        assert rpo_seconds(facts, scene.clock.now()) == scene.clock.now() - safe
        assert facts.newest == before.newest
    assert level_of(looked_at(scene)) is Level.WARNING, "it passes, so nobody has to do anything"
    assert events(scene).count("unavailable") == events(scene).count("rpo-over-threshold") == 1
    scene.objects.heal()
    scene.step(item)
    item.watch()
    facts = scene.facts()
    assert (facts.state, facts.trouble, facts.mark) == (State.REPLICATING, None, None)
    assert facts.totals.cycles == before.totals.cycles + 1
    assert facts.totals.read_bytes - before.totals.read_bytes == len(written) * BLOCK
    assert facts.totals.resent_bytes == 0
    assert "rpo-over-threshold-ended" in events(scene)
    scene.must_be_replicated()


def test_half_a_disk_written_while_the_store_was_away_waits_for_its_hours_and_is_then_compared(
    scene: Scene,
) -> None:
    """R-R-2: what comes first is the mark, and not a delta of half a disk; the trouble is over."""
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    before = scene.facts().totals
    scene.objects.fail(times=1 << 30)
    content = bytes(scene.hosts["web"].disks["disk0"].content[: SIZE // 2])
    for end in (BLOCK, SIZE // 2):
        scene.hosts["web"].write("disk0", 0, content[:end])  # written, and no other than it was
        scene.step(item)
        scene.step(item)
    assert scene.facts().trouble is not None
    scene.objects.heal()
    scene.step(item)
    facts = scene.facts()
    assert (facts.state, facts.mark, facts.trouble) == (State.WAITING, Mark.TOO_MUCH, None)
    while scene.facts().mark is not None:
        scene.step(item)
    assert scene.facts().totals.sent_bytes == before.sent_bytes, "nothing differs, so nothing is sent"
    scene.must_be_replicated()


def test_r_r_2_changes_that_reached_half_of_a_disk_while_the_store_was_away_mark_it_too(
    tmp_path: Path,
) -> None:
    """No session was open that could have looked; the look comes before the delta."""
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    scene.step(scene.item())
    sent = scene.facts().totals.sent_bytes
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2))
    scene.step(scene.item())
    assert (scene.facts().mark, scene.facts().state) == (Mark.TOO_MUCH, State.WAITING)
    assert scene.facts().totals.sent_bytes == sent, "a delta of half a disk is no delta"


def test_r_r_2_half_is_reached_by_the_half_and_not_before(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2 - BLOCK))
    scene.step(item)
    assert scene.facts().mark is None
    assert "marked-for-resync" not in events(scene)
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2))
    scene.step(item)
    assert events(scene).count("marked-for-resync") == 1


def test_r_r_2_a_consistent_point_that_is_due_does_not_keep_a_disk_from_its_mark(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.protect(resync_hours=OUTSIDE_OFFICE, app_consistent_seconds=60)
    item = scene.item()
    scene.step(item)
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2))
    scene.clock.time += 60
    scene.step(item)
    assert scene.facts().mark is Mark.TOO_MUCH


def test_r_r_2_a_resync_that_an_outage_ended_goes_on_and_sends_nothing_twice(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    sent = scene.facts().totals.sent_bytes
    scene.hosts["web"].write("disk0", 0, scene.chance.randbytes(30 * BLOCK))
    scene.boot_after_a_power_cut()
    scene.objects.fail("create", prefix="points/", times=1000)  # the segment is stored, the point is not
    for _ in range(3):
        scene.step(item)
    facts = scene.facts()
    assert (facts.mark, facts.trouble is not None) == (Mark.TRACKING_LOST, True)
    scene.objects.heal()
    scene.step(scene.item())
    facts = scene.facts()
    assert (facts.mark, facts.trouble, facts.totals.resent_bytes) == (None, None, 0)
    assert facts.totals.sent_bytes == sent, "all was stored before the outage, but for the point"
    scene.must_be_replicated()


def test_hours_that_a_resync_waited_for_do_not_count_as_tries(scene: Scene) -> None:
    """R-R-3: the first attempt is the one that begins in those hours."""
    scene.protect(resync_hours=OUTSIDE_OFFICE)
    item = scene.item()
    scene.step(item)
    scene.hosts["web"].write("disk0", 0, bytes(SIZE // 2))
    scene.step(item)
    scene.objects.fail(times=1 << 30)
    while scene.facts().trouble is None:
        begun = scene.clock.now()
        assert scene.step(item) <= 60
    trouble = scene.facts().trouble
    assert trouble is not None
    assert (trouble.first_at, trouble.next_try_at) == (begun, begun + 60)


@pytest.mark.parametrize(
    "error",
    [
        Refused("the account may not read this", cure="give it the right to", code="denied"),
        Missing("there is no such bucket", cure="make it", code="no-bucket"),
        Damaged("the newest entry of the log does not open"),
    ],
)
def test_what_does_not_pass_is_critical_and_says_what_an_administrator_must_do(
    scene: Scene, error: BasculeError
) -> None:
    """R-R-3: authorisation, a place that is gone, a replica in no valid state; none is tried again."""
    tries = []

    def fail() -> None:
        tries.append(scene.clock.now())
        raise error

    scene.before_open = fail
    item = scene.item()
    for _ in range(3):
        scene.step(item)
    assert len(tries) == 1
    (told,) = looked_at(scene)
    assert (told.level, told.code, told.message) == (Level.CRITICAL, error.code, error.message)
    assert told.cure.startswith(error.cure or "mend what the message names")
    assert "`bascule resume web`" in told.cure
    assert scene.facts().state is State.STOPPED
    scene.before_open = lambda: None
    scene.wish()  # as `bascule resume` writes it
    scene.step(item)
    assert (scene.facts().state, looked_at(scene)) == (State.REPLICATING, [])


def test_what_was_sent_and_written_again_before_its_point_is_reported_as_re_sent(scene: Scene) -> None:
    """R-R-10: of a cycle that broke only what the machine overwrote meanwhile is sent twice, and counted."""
    item = scene.item()
    scene.step(item)
    sent = scene.facts().totals.sent_bytes
    for block in range(30):
        write_block(scene, block)
    scene.boot_after_a_power_cut()
    scene.objects.fail("create", prefix="points/", times=1 << 30)  # the segment is stored, the point is not
    scene.step(item)
    scene.step(item)
    write_block(scene, 3)
    scene.objects.heal()
    scene.step(scene.item())
    totals = scene.facts().totals
    assert totals.resent_bytes == UNIT
    assert totals.sent_bytes - sent == UNIT, "what the broken cycle stored is not sent again"
    assert totals.cycles == 2
    scene.must_be_replicated()


@pytest.mark.parametrize("jump", [DAY, -DAY, 3 * 3600.0, -3 * 3600.0])
def test_a_clock_that_jumps_costs_neither_a_point_nor_a_copy(scene: Scene, jump: float) -> None:
    item = scene.item()
    for _ in range(3):
        scene.write()
        scene.step(item)
    before = scene.facts()
    scene.clock.jumped = jump
    for count in range(1, 5):
        scene.write()
        captured = scene.clock.now()
        assert scene.step(item) == 5
        facts = scene.facts()
        assert facts.newest is not None
        assert (facts.newest.captured_at, facts.safe_as_of) == (captured, captured)
        assert facts.totals.cycles == before.totals.cycles + count
    assert (facts.mark, facts.trouble) == (None, None)
    assert facts.totals.read_bytes - before.totals.read_bytes <= 4 * BLOCK
    numbers = [point.number for point in scene.vault.points("web")]
    assert numbers == sorted(numbers)
    assert len(numbers) == facts.totals.cycles, "points are kept by the store's clock"
    scene.must_be_replicated()


def test_after_a_clock_was_set_back_no_figure_is_negative_and_an_idle_machine_gets_a_point(
    scene: Scene,
) -> None:
    """R-R-6: its newest point lies in the future, so nobody could say how old it is."""
    item = scene.item()
    scene.step(item)
    scene.clock.jumped = -DAY
    facts, now = scene.facts(), scene.clock.now()
    assert (rpo_seconds(facts, now), point_age_seconds(facts, now)) == (0, 0)
    assert reasons_of_time(scene) == set()
    scene.step(item)
    assert scene.facts().totals.cycles == facts.totals.cycles + 1
    scene.step(item)
    assert scene.facts().totals.cycles == facts.totals.cycles + 1, "one, by which the figures are right again"


def test_after_a_clock_was_set_forward_the_figures_are_wrong_until_the_next_look_only(scene: Scene) -> None:
    """R-R-6: a warning, which the next interval ends; replication does not change."""
    item = scene.item()
    scene.step(item)
    scene.clock.jumped = DAY
    assert reasons_of_time(scene) == {"rpo-over-threshold", "153007"}
    scene.step(item)
    assert reasons_of_time(scene) == set()


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_jumps_while_the_store_is_away_lengthens_no_wait(scene: Scene, jump: float) -> None:
    """R-R-3: waits are waited for by a clock that nobody sets."""
    item, tries = scene.item(), []

    def away() -> None:
        tries.append(scene.clock.time)
        raise Unavailable("the store does not answer")

    scene.before_open = away
    for _ in range(3):
        scene.step(item)
    scene.clock.jumped = jump
    for _ in range(4):
        assert scene.step(item) <= 1800
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert max(waits) <= 1800
    assert waits[2] == 120, "the one under way is not changed"


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_consistent_points_come_again_after_a_clock_jumped(scene: Scene, jump: float) -> None:
    """R-RP-1."""
    scene.protect(app_consistent_seconds=60)
    item = scene.item()
    scene.step(item)
    scene.clock.jumped = jump
    scene.write()
    scene.step(item)
    newest = scene.facts().newest
    assert newest is not None
    assert newest.consistency == "filesystem"


def test_a_host_that_lost_its_power_compares_its_machines_and_sends_what_differs(scene: Scene) -> None:
    """R-R-2, R-R-10: machine and provider end at one moment; nothing was noted since the last point."""
    scene.step(scene.item())
    sent = scene.facts().totals.sent_bytes
    for block in (1, 5, 9):
        write_block(scene, block)
    scene.boot_after_a_power_cut()
    again = scene.item()
    scene.step(again)
    assert events(scene).count("marked-for-resync") == 1
    assert scene.facts().mark is None, "in its hours it begins at once"
    assert scene.facts().totals.sent_bytes - sent <= 3 * BLOCK * 1.05
    scene.must_be_replicated()
    scene.write()
    read = scene.facts().totals.read_bytes
    scene.step(again)
    assert scene.facts().totals.read_bytes - read == BLOCK, "and goes on with deltas"


def test_a_disk_that_was_replaced_under_its_name_is_compared(scene: Scene) -> None:
    """R-P-7, R-R-10: its record is not there, so nothing is believed of it, and other disks cost nothing."""
    scene.add_disk("web", "disk1")
    item = scene.item()
    scene.step(item)
    before = scene.facts().totals
    old = bytes(scene.hosts["web"].disks["disk1"].content)
    scene.add_disk("web", "disk1")
    scene.hosts["web"].disks["disk1"].content[: SIZE - 4 * BLOCK] = old[: SIZE - 4 * BLOCK]
    until_replicated(scene, item)
    after = scene.facts().totals
    assert after.sent_bytes - before.sent_bytes <= 4 * BLOCK * 1.05
    assert after.read_bytes - before.read_bytes <= SIZE + BLOCK
    assert "marked-for-resync" in events(scene)
    scene.must_be_replicated()


def until_replicated(scene: Scene, item: Item) -> None:
    cycles = scene.facts().totals.cycles
    for _ in range(5):
        scene.step(item)
        if scene.facts().totals.cycles > cycles and scene.facts().mark is None:
            return
    raise AssertionError(f"no point was made: {scene.facts()}")


def looked_at(scene: Scene) -> list[Reason]:
    wish = scene.folder.item("web").wish()
    assert wish is not None
    return reasons(wish, scene.facts(), scene.clock.now(), Heartbeat(None, is_running=True))


def reasons_of_time(scene: Scene) -> set[str]:
    return {reason.code for reason in looked_at(scene)}


@pytest.mark.parametrize(
    ("changed", "is_half"),
    [(None, False), (0, False), (SIZE // 2 - 1, False), (SIZE // 2, True), (SIZE, True)],
)
def test_r_r_2_half_of_a_disk_is_reached_by_its_half(changed: int | None, is_half: bool) -> None:
    other = Recorded(1 << 50, 0)
    assert is_half_changed([other, Recorded(SIZE, changed)]) is is_half


def test_what_is_no_lack_of_anything_is_not_called_so() -> None:
    assert scarcity(OSError(errno.EACCES, "no")) is None
    assert scarcity(ValueError("wrong")) is None


def test_a_disk_that_grew_is_told_as_resized_and_no_other_is() -> None:
    """R-P-7."""
    small, same = DiskFact("web", "disk0", SIZE), DiskFact("web", "disk1", SIZE)
    large = DiskFact("web", "disk0", 2 * SIZE)
    assert list(disk_changes([small, same], [large, same])) == [("disk-resized", large)]
