"""Failover to a host in memory: what it promises, and that it may die at every step (R-FO-2 to R-FO-7)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskSpec, MachineSpec
from bascule.model.errors import Fenced, Missing, Refused, Unavailable
from bascule.model.notes import from_text
from bascule.recovery.fail_over import bring_up, cancel, change_point, commit, fail_over
from bascule.recovery.generations import lineage
from bascule.recovery.record import Kind, Phase
from bascule.recovery.shapes.asked import EVERY, Asked, Wanted
from bascule.recovery.shapes.shape import Shape
from bascule.recovery.site import Site
from tests.data.pipeline.worlds import Image
from tests.recovery.worlds import BLOCK, GROUP, MACHINES, SIZE, Died, World, called

SAME = Shape()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_machines_run_as_of_the_newest_point(world: World) -> None:
    record = fail_over(world.site(), GROUP, SAME)
    newest = world.numbers()[-1]
    assert (record.phase, record.number, record.log) == (Phase.RUNNING, newest, f"{GROUP}~2")
    assert world.running() == world.at(newest)
    hardware = world.host.definition("db").hardware
    assert (hardware.cpus, hardware.memory_mib, hardware.nics[0].network) == (2, 256, "lan")


@pytest.mark.parametrize("then", [commit, cancel])
def test_a_store_that_is_full_stops_no_failover(world: World, then: Callable[[Site, str], object]) -> None:
    world.vault.keep_reserve()
    world.objects.fill()
    with pytest.raises(Unavailable, match="No space left"):
        world.publish()
    record = fail_over(world.site(), GROUP, SAME)
    assert world.running() == world.at(record.number)
    world.objects.fill()  # what was left over is gone too
    then(world.site(), GROUP)
    assert lineage(world.vault, GROUP).newest == (record.log if then is commit else GROUP)


def test_a_full_store_without_a_reserve_is_said(world: World) -> None:
    world.objects.fill()
    with pytest.raises(Unavailable, match="No space left"):
        fail_over(world.site(), GROUP, SAME)
    assert not world.running()


def test_an_older_point_can_be_chosen(world: World) -> None:
    oldest = world.numbers()[0]
    assert fail_over(world.site(), GROUP, SAME, oldest).number == oldest
    assert world.running() == world.at(oldest)


def test_the_other_side_can_publish_nothing_more(world: World) -> None:
    """R-FO-7: also not with a point that it had all but finished."""
    spec = MachineSpec("db", "db", (DiskSpec("root", SIZE),))
    with world.vault.begin(GROUP, writer="replicator") as writer:
        cut = writer.cut([spec])
        fail_over(world.site(), GROUP, SAME)
        with pytest.raises(Fenced):
            cut.publish()


def test_the_new_generation_holds_the_point_and_says_where_changes_are_told(world: World) -> None:
    record = fail_over(world.site(), GROUP, SAME)
    with world.vault.peek(record.log) as point:
        for key, content in world.truth[record.number].items():
            found = bytearray(SIZE)
            point.disk(key).read_into(0, memoryview(found))
            assert found == content
        note = from_text(point.info.machines[0].definition)
    place = world.site().serving.words(world.site().records.served(record, "db"), "root")
    assert note.written["root"] == f"{place}&bitmap=written"
    assert note.machine == world.host.definition("db")


def test_names_sizes_and_networks_are_as_asked(world: World) -> None:
    """R-FO-4."""
    machines = {"db": Wanted("db-recovered"), EVERY: Wanted(cpus=4, memory_mib=1024)}
    fail_over(world.site(), GROUP, Shape((Asked(machines, {"lan": "test"}),)))
    hardware = world.host.definition("db-recovered").hardware
    assert (hardware.cpus, hardware.memory_mib, hardware.nics[0].network) == (4, 1024, "test")
    assert set(world.running()) == {"db-recovered", "web"}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Shape((Asked(networks={"lan": "nowhere"}),)), "nowhere"),
        (called(db="same", web="same"), "both be called"),
        (Shape((Asked({EVERY: Wanted(memory_mib=1)}),)), "no machine"),
    ],
)
def test_what_the_host_cannot_have_is_refused_before_anything_is_done(
    world: World, shape: Shape, said: str
) -> None:
    head = next(world.vault.log(GROUP).numbers())
    with pytest.raises(Refused, match=said):
        fail_over(world.site(), GROUP, shape)
    assert next(world.vault.log(GROUP).numbers()) == head
    assert world.running() == {}
    fail_over(world.site(), GROUP, SAME)


def test_a_machine_that_is_there_already_is_never_replaced(world: World) -> None:
    for disk in ("root", "data"):
        world.host.make(f"/web/{disk}", bytes(SIZE))
    world.host.define(world.definition("web"))
    with pytest.raises(Refused, match="called web already"):
        fail_over(world.site(), GROUP, SAME)
    assert world.host.definition("web") == world.definition("web")
    fail_over(world.site(), GROUP, called(web="web-2"))
    assert set(world.running()) == {"db", "web-2"}


def test_a_second_host_that_takes_over_at_the_same_time_gets_nothing(tmp_path: Path) -> None:
    """Never two: between the choice of a point and the start of machines one host wins."""
    first = World(tmp_path / "first")
    second = World(tmp_path / "second")
    second.vault, second.serving = first.vault, second.serving
    second.serving._vault = first.vault
    first.objects.fate = second.fate
    for step in range(1, 200):
        second.dies_at(step)
        try:
            fail_over(second.site(), GROUP, SAME)
        except Died:
            if second.site().records.known(GROUP, Kind.FAILOVER).phase is Phase.CHOSEN:
                break
    second.lives()
    assert fail_over(first.site(), GROUP, SAME).phase is Phase.RUNNING
    with pytest.raises(Refused, match="taken over"):
        fail_over(second.site(), GROUP, SAME)
    assert second.running() == {}
    cancel(second.site(), GROUP)
    assert second.is_empty()
    assert lineage(first.vault, GROUP).newest == f"{GROUP}~2"


def test_a_group_whose_machines_left_is_refused_by_name(world: World, tmp_path: Path) -> None:
    fail_over(world.site(), GROUP, SAME)
    commit(world.site(), GROUP)
    other = World(tmp_path / "other")
    other.vault = world.vault
    with pytest.raises(Refused, match=f"{GROUP}~2"):
        fail_over(other.site(), GROUP, SAME)


def test_doing_it_again_does_nothing_more(world: World) -> None:
    fail_over(world.site(), GROUP, SAME)
    machine = world.host.running["db"]
    fail_over(world.site(), GROUP, SAME)
    assert world.host.running["db"] is machine
    with pytest.raises(Refused, match="bascule replica change-point"):
        fail_over(world.site(), GROUP, SAME, world.numbers()[0])


def test_a_group_or_a_point_that_is_not_there_changes_nothing(world: World) -> None:
    with pytest.raises(Missing):
        fail_over(world.site(), "nobody", SAME)
    with pytest.raises(Missing):
        fail_over(world.site(), GROUP, SAME, 999)
    cancel(world.site(), GROUP)
    assert world.is_empty()


def test_cancel_leaves_both_sides_usable(world: World) -> None:
    """R-FO-5: this side is as before, and the other one may replicate on when its operator says so."""
    fail_over(world.site(), GROUP, SAME)
    cancel(world.site(), GROUP)
    cancel(world.site(), GROUP)
    assert world.is_empty()
    assert lineage(world.vault, GROUP).newest == GROUP
    number = world.publish()
    record = fail_over(world.site(), GROUP, SAME)
    assert (record.number, record.log) == (number, f"{GROUP}~3")
    assert world.running() == world.at(number)


def test_another_point_can_be_chosen_until_it_is_committed(world: World) -> None:
    fail_over(world.site(), GROUP, SAME)
    first = world.numbers()[0]
    assert change_point(world.site(), GROUP, SAME, first).number == first
    assert world.running() == world.at(first)
    with pytest.raises(Missing):
        change_point(world.site(), GROUP, SAME, 999)
    assert world.running() == world.at(first)
    commit(world.site(), GROUP)
    for verb in (lambda: change_point(world.site(), GROUP, SAME, first), lambda: cancel(world.site(), GROUP)):
        with pytest.raises(Refused, match="committed"):
            verb()
    assert world.running() == world.at(first)


def test_after_the_host_was_down_its_machines_run_again_with_what_they_wrote(world: World) -> None:
    fail_over(world.site(), GROUP, SAME)
    commit(world.site(), GROUP)
    world.host.running["db"].write("root", 0, b"new")
    held = world.running()
    world.host.lose_power()
    world.serving.up.clear()
    bring_up(world.site(), GROUP)
    assert world.running() == held
    assert all(world.serving.is_up(folder) for folder in world.serving.kept)


def test_machines_that_left_are_not_started_here_again(world: World, tmp_path: Path) -> None:
    """R-FO-7: a host that comes back looks into the store before it starts anything."""
    fail_over(world.site(), GROUP, SAME)
    commit(world.site(), GROUP)
    world.host.lose_power()
    other = World(tmp_path / "other")
    other.vault = other.serving._vault = world.vault
    fail_over(other.site(), f"{GROUP}~2", SAME)
    with pytest.raises(Refused, match=f"{GROUP}~3"):
        bring_up(world.site(), GROUP)
    assert world.running() == {}


def test_asked_again_after_the_host_was_down_it_does_not_only_say_that_they_run(world: World) -> None:
    fail_over(world.site(), GROUP, SAME)
    world.host.running["db"].write("root", 0, b"new")
    held = world.running()
    world.host.lose_power()
    world.serving.up.clear()
    fail_over(world.site(), GROUP, SAME)
    assert world.running() == held
    assert all(world.serving.is_up(folder) for folder in world.serving.kept)


def test_a_failover_that_died_is_not_gone_on_with_after_another_host_took_over(
    world: World, tmp_path: Path
) -> None:
    """R-FO-7: wherever it died, nothing is started once the machines belong elsewhere."""
    world.dies_at(steps_of(tmp_path)[0])
    with pytest.raises(Died):
        fail_over(world.site(), GROUP, SAME)
    world.lives()
    world.host.lose_power()
    other = World(tmp_path / "other")
    other.vault = other.serving._vault = world.vault
    fail_over(other.site(), f"{GROUP}~2", SAME)
    with pytest.raises(Refused, match=f"{GROUP}~3"):
        fail_over(world.site(), GROUP, SAME)
    assert world.running() == {}


@pytest.mark.slow
@pytest.mark.parametrize("verb", [cancel, partial(change_point, shape=SAME)])
def test_what_machines_wrote_here_is_not_thrown_away_after_another_host_took_over(
    world: World, tmp_path: Path, verb: Callable[[Site, str], object]
) -> None:
    """What was not replicated from here is nowhere else."""
    fail_over(world.site(), GROUP, SAME)
    world.host.running["db"].write("root", 0, b"new")
    held = world.running()
    other = World(tmp_path / "other")
    other.vault = other.serving._vault = world.vault
    fail_over(other.site(), f"{GROUP}~2", SAME)
    with pytest.raises(Refused, match=f"{GROUP}~3"):
        verb(world.site(), GROUP)
    assert world.running() == held


def test_what_was_written_survives_a_second_asking(world: World) -> None:
    fail_over(world.site(), GROUP, SAME)
    world.host.running["db"].write("root", 0, b"new")
    fail_over(world.site(), GROUP, SAME)
    assert world.running()["db"]["root"].startswith(b"new")


def steps_of(tmp_path: Path) -> tuple[int, int]:
    """Count the steps of a failover and of its cancel."""
    world = World(tmp_path / "count")
    world.dies_at(-1)
    fail_over(world.site(), GROUP, SAME)
    going = world.fate.steps
    cancel(world.site(), GROUP)
    return going, world.fate.steps - going


@pytest.mark.lab  # many worlds, many seconds
def test_a_death_at_any_step_of_a_failover_is_made_good_by_asking_again(tmp_path: Path) -> None:
    going, _ = steps_of(tmp_path)
    assert going > 30
    for step in range(1, going + 1):
        world = World(tmp_path / str(step))
        newest = world.numbers()[-1]
        world.dies_at(step)
        with pytest.raises(Died):
            fail_over(world.site(), GROUP, SAME)
        world.lives()
        record = fail_over(world.site(), GROUP, SAME)
        assert (record.phase, record.number) == (Phase.RUNNING, newest), f"step {step}"
        assert world.running() == world.at(newest), f"step {step}"
        assert lineage(world.vault, GROUP).logs == (GROUP, f"{GROUP}~2"), f"step {step}"


@pytest.mark.lab  # many worlds, many seconds
def test_a_death_at_any_step_can_be_cancelled_and_a_cancel_may_die_too(tmp_path: Path) -> None:
    going, back = steps_of(tmp_path)
    for step in range(1, going + back + 1):
        world = World(tmp_path / str(step))
        world.dies_at(min(step, going))
        with pytest.raises(Died):
            fail_over(world.site(), GROUP, SAME)
        world.dies_at(max(step - going, 1))
        try:
            cancel(world.site(), GROUP)
        except Died:
            world.lives()
            cancel(world.site(), GROUP)
        world.lives()
        assert world.is_empty(), f"step {step}"
        assert lineage(world.vault, GROUP).newest == GROUP, f"step {step}"
        number = world.publish()
        assert fail_over(world.site(), GROUP, SAME).number == number, f"step {step}"


@pytest.mark.lab  # many worlds, many seconds
def test_a_death_at_any_step_of_a_change_of_point_is_made_good_by_asking_again(tmp_path: Path) -> None:
    for step in count(1, 2):
        world = World(tmp_path / str(step))
        first = world.numbers()[0]
        fail_over(world.site(), GROUP, SAME, hydrate=False)
        world.dies_at(step)
        try:
            change_point(world.site(), GROUP, SAME, first)
        except Died:
            world.lives()
        else:
            break
        record = change_point(world.site(), GROUP, SAME, first)
        assert (record.phase, record.number, record.hydrate) == (Phase.RUNNING, first, False), f"step {step}"
        assert world.running() == world.at(first), f"step {step}"
        cancel(world.site(), GROUP)
        assert world.is_empty(), f"step {step}"
        assert lineage(world.vault, GROUP).newest == GROUP, f"step {step}"
    assert step > 30


def test_the_new_generation_takes_what_the_machines_write_there(world: World) -> None:
    """What R-HV-3 calls reverse replication: points follow on the first one of the new generation."""
    record = fail_over(world.site(), GROUP, SAME)
    changed = bytearray(world.truth[record.number]["db", "root"])
    changed[5 * BLOCK : 6 * BLOCK] = bytes(BLOCK)
    with world.vault.begin(record.log, writer="replicator") as writer:
        specs = [
            MachineSpec(name, name, (DiskSpec("root", SIZE), DiskSpec("data", SIZE))) for name in MACHINES
        ]
        sources = {key: Image(content) for key, content in world.truth[record.number].items()}
        for key in sources:
            if key == ("db", "root"):
                sources[key] = Image(bytes(changed))
        copy(writer, Capture(specs, sources, 1.0), Conduct(Meter(world.clock)))
    with world.vault.peek(record.log) as point:
        found = bytearray(SIZE)
        point.disk(("db", "root")).read_into(0, memoryview(found))
    assert found == changed


def test_a_commit_keeps_the_point_that_was_booted_and_the_newest_and_removes_the_others(world: World) -> None:
    """The one is what a failback compares with, and behind the other is what nobody saw."""
    newest = world.publish()
    booted = world.numbers()[1]
    fail_over(world.site(), GROUP, SAME, booted)
    commit(world.site(), GROUP)
    assert world.numbers() == [booted, newest]
