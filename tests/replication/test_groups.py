"""Machines of one group, frozen at one instant while they write, come and go (R-RP-5)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, PointInfo, Vault
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeMachine
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Refused, Unavailable
from bascule.ports.machines import Freezing, Frozen, RunningMachine, Tracking
from bascule.replication.members import Member
from bascule.replication.replicator import Names, Replicator, World

BLOCK = 65536
SIZE = 16 * BLOCK
WORD = 8


class Ledger:
    """Hosts whose machines write numbers in turn, each only after the one before is written."""

    def __init__(self, names: list[str]) -> None:
        self.hosts = {name: FakeHost({"disk0": bytes(SIZE)}, name) for name in names}
        self._turn = threading.Lock()
        self._numbers = count(1)
        self._next = next(self._numbers)

    def write(self) -> None:
        """Let every machine write that does not wait for another one, which stands still."""
        with self._turn:
            for _ in range(2 * len(self.hosts)):
                host = list(self.hosts.values())[self._next % len(self.hosts)]
                if host.is_held or not host.is_up:
                    return
                host.write("disk0", self._next * WORD, self._next.to_bytes(WORD, "little"))
                self._next = next(self._numbers)

    def judge(self, images: dict[str, bytes]) -> int:
        """Return the last number on any machine, with all before it where they belong."""
        names = list(self.hosts)
        for number in range(1, SIZE // WORD):
            image = images[names[number % len(names)]]
            if int.from_bytes(image[number * WORD : (number + 1) * WORD], "little") != number:
                last = number - 1
                break
        found = {
            int.from_bytes(image[at : at + WORD], "little")
            for image in images.values()
            for at in range(0, SIZE, WORD)
        }
        assert max(found) == last, f"number {max(found)} is there and {last + 1} is not"
        return last


class Busy:
    """A machine of the ledger; around each step of its freezing all that may write do."""

    def __init__(self, machine: RunningMachine, write: Callable[[], None]) -> None:
        self._machine = machine
        self._write = write
        self.name, self.settle, self.close = machine.name, machine.settle, machine.close
        self.recorded = machine.recorded

    def freeze(self, since: Tracking) -> Frozen:
        return self._machine.freeze(since)

    def prepare(self, since: Tracking) -> Freezing:
        return BusyFreezing(self._machine.prepare(since), self._write)


class BusyFreezing:
    """See Busy."""

    def __init__(self, freezing: Freezing, write: Callable[[], None]) -> None:
        self._write = write
        self.hold = self._busily(freezing.hold)
        self.cut = self._busily(freezing.cut)
        self.release = self._busily(freezing.release)
        self.show, self.cancel = freezing.show, freezing.cancel

    def _busily(self, step: Callable[[], None]) -> Callable[[], None]:
        def busily() -> None:
            self._write()
            step()
            self._write()

        return busily


class Scene:
    """A ledger over some machines, their replicator and the store."""

    def __init__(self, names: list[str]) -> None:
        self.clock = SystemClock()
        self.ledger = Ledger(names)
        self.hosts = self.ledger.hosts
        self.objects = MemoryStore()
        self.vault = Vault.init(self.objects, KeyFile(bytes(range(32))), ids=SystemIds(), clock=self.clock)
        self.replicator = self.anew(names)

    def anew(self, names: list[str]) -> Replicator:
        """Return what another process would replicate with."""

        def conduct() -> Conduct:
            return Conduct(Meter(self.clock), workers=1, readers=1)

        def member(name: str) -> Member:
            host = self.hosts[name]
            return Member(name, lambda: Busy(FakeMachine(host, self.clock, SystemIds()), self.ledger.write))

        def open_source(words: str):
            (found,) = [host for host in self.hosts.values() if words in host.images]
            return found.open(words)

        world = World(self.vault, self.clock, open_source, conduct)
        return Replicator(world, [member(name) for name in names], Names("shop", "test"))

    def point(self) -> PointInfo:
        with self.vault.peek("shop") as point:
            return point.info

    def images(self) -> dict[str, bytes]:
        """Return every machine's disk at the newest point."""
        found = {}
        with self.vault.peek("shop") as point:
            for machine in point.info.machines:
                image = bytearray(SIZE)
                point.disk(DiskKey(machine.id, "disk0")).read_into(0, memoryview(image))
                found[machine.id] = bytes(image)
        return found

    def nobody_stands(self) -> bool:
        return not any(host.is_held for host in self.hosts.values())


@pytest.mark.lab
@pytest.mark.parametrize("machines", [2, 3, 17])
def test_every_point_of_a_group_is_one_instant_of_all_its_machines(machines: int) -> None:
    """No cap of 16."""
    scene = Scene([f"m{number:02}" for number in range(machines)])
    last = 0
    for _ in range(5):
        done = scene.replicator.cycle()
        assert (done.absent, done.compared) == ({}, ())
        assert scene.point().complete
        now = scene.ledger.judge(scene.images())
        assert now > last
        last = now
        assert scene.nobody_stands()
    assert all(host.images == {} for host in scene.hosts.values())
    assert all(len(host.disks["disk0"].records) == 1 for host in scene.hosts.values())


def test_a_machine_that_is_away_stays_what_it_was_and_comes_back_with_what_differs() -> None:
    scene = Scene(["db", "web"])
    scene.replicator.cycle()
    before = scene.images()["db"]
    scene.hosts["db"].lose_power()
    scene.hosts["web"].write("disk0", 9 * BLOCK, b"alone")
    done = scene.replicator.cycle()
    assert [*done.absent] == ["db"]
    assert "gone" in done.absent["db"].message
    assert done.copied.read_bytes <= 2 * BLOCK
    assert not scene.point().complete
    images = scene.images()
    assert images["db"] == before
    assert images["web"][9 * BLOCK :].startswith(b"alone")

    scene.hosts["db"].is_up = True
    scene.hosts["db"].write("disk0", 5 * BLOCK, b"back")
    done = scene.replicator.cycle()
    assert (done.absent, done.compared) == ({}, (DiskKey("db", "disk0"),))
    assert done.copied.sent_bytes <= 4 * BLOCK
    assert scene.point().complete
    assert scene.images()["db"][5 * BLOCK :].startswith(b"back")
    assert scene.replicator.cycle().compared == ()


def test_a_machine_whose_monitor_was_lost_for_a_while_comes_back_with_a_delta() -> None:
    scene = Scene(["db", "web"])
    scene.replicator.cycle()
    scene.hosts["db"].is_up = False
    scene.replicator.cycle()
    scene.hosts["db"].is_up = True
    scene.hosts["db"].write("disk0", 5 * BLOCK, b"back")
    done = scene.replicator.cycle()
    assert (done.absent, done.compared) == ({}, ())
    assert done.copied.read_bytes <= 4 * BLOCK
    assert scene.images()["db"][5 * BLOCK :].startswith(b"back")


def test_a_machine_that_was_never_there_joins_the_points_of_the_others() -> None:
    scene = Scene(["db", "web"])
    scene.hosts["db"].is_up = False
    done = scene.replicator.cycle()
    assert [*done.absent] == ["db"]
    assert [machine.id for machine in scene.point().machines] == ["web"]
    scene.hosts["db"].is_up = True
    assert scene.replicator.cycle().absent == {}
    assert scene.point().complete
    scene.ledger.judge(scene.images())


def test_a_group_of_which_nobody_is_there_is_tried_again() -> None:
    scene = Scene(["db", "web"])
    for host in scene.hosts.values():
        host.is_up = False
    with pytest.raises(Unavailable, match="gone"):
        scene.replicator.cycle()
    for host in scene.hosts.values():
        host.is_up = True
    assert scene.replicator.cycle().absent == {}


def test_a_group_that_leaves_out_a_machine_of_its_points_is_refused() -> None:
    """Such points would look whole and be none of the group."""
    scene = Scene(["db", "web"])
    scene.replicator.cycle()
    scene.replicator.close()
    with pytest.raises(Refused, match="group shop holds db too"):
        scene.anew(["web"]).cycle()


def test_two_machines_of_one_name_are_refused() -> None:
    scene = Scene(["db", "web"])
    with pytest.raises(Refused, match="name of its own"):
        scene.anew(["web", "web"])


@pytest.mark.parametrize("step", ["prepare", "hold", "cut", "release", "show"])
def test_a_machine_that_fails_at_any_step_leaves_nobody_standing_and_the_others_their_point(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(["db", "web"])
    scene.replicator.cycle()
    prepare = FakeMachine.prepare

    def fail(*_: object) -> None:
        raise Unavailable("the monitor is gone")

    def failing(machine: FakeMachine, since: Tracking) -> Freezing:
        if machine.name != "db":
            return prepare(machine, since)
        if step == "prepare":
            fail()
        freezing = prepare(machine, since)
        was = getattr(freezing, step)
        monkeypatch.setattr(freezing, step, lambda: (step == "release" and was(), fail()))
        return freezing

    with monkeypatch.context() as broken:
        broken.setattr(FakeMachine, "prepare", failing)
        done = scene.replicator.cycle()
    assert [*done.absent] == ["db"]
    assert scene.nobody_stands()
    assert not scene.point().complete
    done = scene.replicator.cycle()
    assert (done.absent, done.compared) == ({}, ())
    scene.ledger.judge(scene.images())


@pytest.mark.lab
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_fails_at_any_request_costs_a_group_no_change(when: str) -> None:
    """R-R-10, and no machine is held by it."""
    scene = Scene(["db", "web"])
    scene.replicator.cycle()
    failed = 0
    for at in range(1, 25):
        scene.ledger.write()
        scene.replicator.close()
        scene.objects.fail(at=at, when=when)
        try:
            scene.replicator.cycle()
        except Unavailable:
            failed += 1
        scene.objects.heal()
        assert scene.nobody_stands()
        scene.ledger.write()
        done = scene.replicator.cycle()
        assert done.compared == () or when == "after"
        assert done.copied.sent_bytes <= 8 * BLOCK
        scene.ledger.judge(scene.images())
    assert failed >= 3


def test_looking_for_a_machine_that_is_away_costs_the_others_at_most_a_tenth_of_their_time() -> None:
    scene = Scene(["db", "web"])
    time, looks = 100.0, 0

    class Clock(SystemClock):
        def monotonic(self) -> float:
            return time

    scene.clock = Clock()

    def away() -> RunningMachine:
        nonlocal time, looks
        time, looks = time + 75, looks + 1
        raise Unavailable("it does not greet")

    world = World(
        scene.vault,
        scene.clock,
        scene.hosts["web"].open,
        lambda: Conduct(Meter(scene.clock), workers=1, readers=1),
    )
    web = Member("web", lambda: FakeMachine(scene.hosts["web"], scene.clock, SystemIds()))
    replicator = Replicator(world, [Member("db", away), web], Names("shop", "test"))
    for _ in range(100):
        assert [*replicator.cycle().absent] == ["db"]
        time += 30
    assert looks == 5, "75 seconds of looking in each 825"
