"""A machine of the fake hypervisor, replicated while store, machine and replicator fail at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeMachine
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Refused, Unavailable
from bascule.model.policies import Consistency
from bascule.ports.disks import DiskSource
from bascule.replication.members import Member
from bascule.replication.replicator import Names, Replicator, Rules, World, tuning_for

BLOCK = 65536
SIZE = 40 * BLOCK
KEY = KeyFile(bytes(range(32)))
NAMES = Names("web", "test")
WEB = "web"


class Scene:
    """A writing machine, its replicator and the store between them."""

    def __init__(self) -> None:
        self.chance = Random(5)
        self.host = FakeHost({"disk0": self.chance.randbytes(SIZE), "disk1": bytes(SIZE)})
        self.objects = MemoryStore()
        self.clock = SystemClock()
        self.vault = Vault.init(self.objects, KEY, ids=SystemIds(), clock=self.clock)
        self.replicator = self.anew()

    def anew(self) -> Replicator:
        """Return what another process would replicate with."""

        def conduct() -> Conduct:
            return Conduct(Meter(self.clock), workers=1, readers=1)

        world = World(self.vault, self.clock, self.host.open, conduct)
        member = Member(WEB, lambda: FakeMachine(self.host, self.clock, SystemIds()))
        return Replicator(world, [member], NAMES)

    def write(self) -> int:
        """Write somewhere on both disks; return how many blocks that changed at most."""
        for disk in self.host.disks:
            at = self.chance.randrange(SIZE - 5000)
            self.host.write(disk, at, self.chance.randbytes(5000))
        return 4

    def must_be_replicated(self) -> None:
        with self.vault.peek(NAMES.group) as point:
            for disk, truth in self.host.disks.items():
                image = bytearray(SIZE)
                point.disk(DiskKey(WEB, disk)).read_into(0, memoryview(image))
                assert image == truth.content, f"{disk} is not as the machine has it"


def test_each_cycle_sends_what_changed_since_the_last() -> None:
    scene = Scene()
    assert scene.replicator.cycle().copied.read_bytes == 2 * SIZE
    for _ in range(5):
        blocks = scene.write()
        done = scene.replicator.cycle()
        assert done.copied.read_bytes <= blocks * BLOCK
        assert done.compared == ()
        scene.must_be_replicated()
    assert scene.replicator.cycle().copied.read_bytes == 0


def test_another_process_goes_on_with_a_delta() -> None:
    scene = Scene()
    scene.replicator.cycle()
    scene.replicator.close()
    blocks = scene.write()
    done = scene.anew().cycle()
    assert (done.compared, done.copied.read_bytes <= blocks * BLOCK) == ((), True)
    scene.must_be_replicated()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_fails_at_any_request_costs_no_change(when: str) -> None:
    """R-R-10: the next cycle sends what this one would have, never the whole disk."""
    scene = Scene()
    scene.replicator.cycle()
    failed = 0
    for at in range(1, 41):
        blocks = scene.write()
        scene.replicator.close()
        scene.objects.fail(at=at, when=when)
        try:
            scene.replicator.cycle()
        except Unavailable:
            failed += 1
        scene.objects.heal()
        blocks += scene.write()
        done = scene.replicator.cycle()
        scene.must_be_replicated()
        # Only where the point was stored and nobody heard of it is its record gone.
        assert done.compared == () or when == "after"
        assert done.copied.sent_bytes <= blocks * BLOCK, f"after a failure at request {at}"
    assert failed >= 5


def test_a_machine_that_lost_its_power_is_compared_and_only_what_differs_is_sent() -> None:
    scene = Scene()
    scene.replicator.cycle()
    scene.write()
    scene.host.lose_power()
    with pytest.raises(Unavailable):
        scene.replicator.cycle()
    scene.host.is_up = True
    done = scene.replicator.cycle()
    assert done.compared == (DiskKey(WEB, "disk0"), DiskKey(WEB, "disk1"))
    assert done.copied.sent_bytes <= 4 * BLOCK
    scene.must_be_replicated()


def test_who_was_fenced_stops_and_takes_nothing_from_the_machine() -> None:
    scene = Scene()
    scene.replicator.cycle()
    scene.write()
    other = scene.anew()
    other.cycle()
    with pytest.raises(Refused):
        scene.replicator.cycle()
    blocks = scene.write()
    assert other.cycle().copied.read_bytes <= (blocks + 4) * BLOCK
    scene.must_be_replicated()


def test_a_point_that_was_made_in_another_way_is_compared_with() -> None:
    scene = Scene()
    scene.replicator.cycle()
    scene.replicator.close()
    from bascule.data.pipeline.copy import Capture, copy
    from bascule.data.store import DiskSpec, MachineSpec

    disks = tuple(DiskSpec(disk, SIZE) for disk in scene.host.disks)
    frozen = FakeMachine(scene.host, scene.clock, SystemIds()).freeze({})
    sources = {DiskKey("web", disk.id): scene.host.open(disk.words) for disk in frozen.disks}
    with scene.vault.begin("web", writer="by hand") as writer:
        capture = Capture([MachineSpec("web", "web", disks, "not JSON")], sources, scene.clock.now())
        copy(writer, capture, Conduct(Meter(scene.clock)))
    frozen.drop()
    assert scene.anew().cycle().compared == (DiskKey(WEB, "disk0"), DiskKey(WEB, "disk1"))


def test_the_instant_lies_inside_what_makes_guests_ready_and_the_copy_after_it() -> None:
    """R-RP-1: guests go on while bytes move, and the point says what came of it."""
    scene = Scene()
    told: list[str] = []

    @contextmanager
    def quiesce(machines: Sequence[str]) -> Iterator[Callable[[], Consistency]]:
        told.extend(["frozen", *machines])
        yield lambda: Consistency.FILE_SYSTEM if told[-1] == "thawed" else Consistency.CRASH
        told.append("thawed")
        scene.host.write("disk0", 0, b"after the thaw")

    def open_source(words: str) -> DiskSource:
        told.append("read")
        return scene.host.open(words)

    world = World(
        scene.vault,
        scene.clock,
        open_source,
        lambda: Conduct(Meter(scene.clock), workers=1, readers=1),
        Rules(quiesce=quiesce),
    )
    before = bytes(scene.host.disks["disk0"].content)
    adopt = lambda: FakeMachine(scene.host, scene.clock, SystemIds())  # noqa: E731 - as short as it is
    done = Replicator(world, [Member(NAMES.group, adopt)], NAMES).cycle()
    assert told == ["frozen", "web", "thawed", "read", "read"]
    assert done.copied.point.consistency == "filesystem"
    with scene.vault.peek(NAMES.group) as point:
        image = bytearray(SIZE)
        point.disk(DiskKey(NAMES.group, "disk0")).read_into(0, memoryview(image))
    assert image == before


@pytest.mark.parametrize("disk_bytes", [50 << 20, 200 << 20, 1 << 30, 20 << 30, 1 << 40])
def test_what_is_being_stored_is_a_fiftieth_of_the_disks_at_most(disk_bytes: int) -> None:
    tuning = tuning_for(disk_bytes, workers=2)
    assert tuning.upload_threads * tuning.segment_bytes <= disk_bytes / 50


def test_of_a_tiny_disk_a_mebibyte_may_be_sent_again() -> None:
    tuning = tuning_for(3 << 20, workers=2)
    assert tuning.upload_threads * tuning.segment_bytes == 1 << 20


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_all_segments_of_a_session_fit_into_the_memory_that_it_was_given(workers: int) -> None:
    given = 18 << 20
    tuning = tuning_for(1 << 40, workers, given)
    assert given / 2 < tuning.buffers * tuning.segment_bytes <= given
    assert tuning_for(1 << 40, workers).segment_bytes == 16 << 20, "where nobody says how much"
