"""A machine that was recovered is replicated by what it wrote, whatever became of its records (R-HV-3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.blocks.bitmap import Bitmap
from bascule.blocks.extents import Extent
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeMachine, FakeSource
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Unavailable
from bascule.model.machines import Hardware, MachineDefinition
from bascule.model.notes import MachineNote, from_text, to_text
from bascule.ports.disks import DiskSource
from bascule.replication.members import Member
from bascule.replication.replicator import Names, Replicator, World

BLOCK = 65536
SIZE = 64 * BLOCK
CONTENT = bytes(range(256)) * (SIZE // 256)
DEFINITION = MachineDefinition("web", Hardware(), ())


class Scene:
    """A machine that was recovered from a point: its new generation begins with that, and says who tells."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.vault = Vault.init(MemoryStore(), KeyFile(bytes(32)), ids=SystemIds(), clock=self.clock)
        self.told = Bitmap(SIZE, BLOCK)
        self.is_told = True
        self.boot()
        spec = MachineSpec("web", "web", (DiskSpec("root", SIZE),))
        self.replicate("web")
        with self.vault.branch(("web", self.newest("web")), "web~2", writer="failover") as writer:
            note = MachineNote(None, {}, {"root": "told"})
            writer.cut([replace(spec, definition=to_text(note))]).publish()

    def boot(self) -> None:
        """Start the machine with its disk as it is, and nothing recorded."""
        content = bytes(self.host.disks["root"].content) if hasattr(self, "host") else CONTENT
        self.host = FakeHost({"root": content}, "web")

    def write(self, block: int) -> None:
        self.host.write("root", block * BLOCK, SystemIds().random(100))
        self.told.mark(Extent(block * BLOCK, 100))

    def open(self, words: str) -> DiskSource:
        if words != "told":
            return self.host.open(words)
        if not self.is_told:
            raise Unavailable("nobody serves that")
        return FakeSource(bytes(self.host.disks["root"].content), self.told)

    def replicate(self, group: str = "web~2") -> tuple[int, tuple[DiskKey, ...]]:
        world = World(self.vault, self.clock, self.open, lambda: Conduct(Meter(self.clock)))
        member = Member(
            "web", lambda: FakeMachine(self.host, self.clock, SystemIds()), definition=lambda: DEFINITION
        )
        replicator = Replicator(world, [member], Names(group, "test"))
        try:
            done = replicator.cycle()
            return done.copied.read_bytes, done.compared
        finally:
            replicator.close()

    def newest(self, group: str) -> int:
        return self.vault.points(group)[-1].number

    def must_be_replicated(self) -> None:
        with self.vault.peek("web~2") as point:
            found = bytearray(SIZE)
            point.disk(("web", "root")).read_into(0, memoryview(found))
            assert found == self.host.disks["root"].content
            note = from_text(point.info.machines[0].definition)
        assert note.written == {"root": "told"}
        assert note.machine == DEFINITION


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_point_sends_what_the_machine_wrote_and_the_next_a_delta(scene: Scene) -> None:
    scene.write(3)
    scene.write(9)
    assert scene.replicate() == (2 * BLOCK, ())
    scene.must_be_replicated()
    scene.write(20)
    assert scene.replicate() == (BLOCK, ())
    scene.must_be_replicated()


def test_after_a_crash_all_that_it_ever_wrote_is_sent_and_nothing_is_compared(scene: Scene) -> None:
    scene.write(3)
    scene.replicate()
    scene.write(9)
    scene.boot()  # the host lost power: the disk is as it was, the record is gone
    scene.write(11)
    assert scene.replicate() == (3 * BLOCK, ())
    scene.must_be_replicated()


def test_where_nobody_tells_the_disk_is_compared(scene: Scene) -> None:
    scene.write(3)
    scene.is_told = False
    read, compared = scene.replicate()
    assert (read, compared) == (SIZE, (("web", "root"),))
    scene.must_be_replicated()
