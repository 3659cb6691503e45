"""What crosses over when machines change sides: what they changed, and next to nothing more (R-HV-1, R-HV-3).

The blocks are written while the machine is off, to the very images that it runs from, so that nothing else
changes beside them. Without a guest there is nothing to shut down, and QEMU is told to quit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.blocks.cut import BLOCK
from bascule.drivers.disks.factory import open_sink, open_source
from bascule.drivers.disks.images import QcowImages
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Power, written
from bascule.ports.disks import DiskSink
from lab.filesystems import tool
from lab.sites import Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Stage, Stand
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

SIZE, DATA, PIECE = 8 << 30, 192 << 20, 1 << 20
CHANGED = SIZE // BLOCK // 100
AT_MOST = SIZE * 12 // 1000


class Crossing:
    """A machine of one disk of 8 GiB between two hosts; all of its data is more than may travel."""

    def __init__(self, folder: Path, sites: Sites) -> None:
        assert DATA > AT_MOST, "to move all of it must not pass for moving what changed"
        self.stage = Stage(folder, sites)
        self.chance = Random(11)
        self.hosts = {
            name: QemuHost(folder / name, SystemClock(), SystemIds()) for name in ("first", "second")
        }
        image = folder / "disk.qcow2"
        raw = folder / "disk.raw"
        with raw.open("wb") as stream:
            stream.truncate(SIZE)
            for at in range(0, DATA, PIECE):
                stream.seek(at * (SIZE // DATA))
                stream.write(os.urandom(PIECE))
        tool("qemu-img", "convert", "-O", "qcow2", raw, image)
        raw.unlink()
        places = (DiskPlace("root", str(image)),)
        (folder / "shop.json").write_text(
            written(MachineDefinition(MACHINE, Hardware(memory_mib=32), places))
        )

    def disk(self, side: Stand) -> DiskPlace:
        (place,) = self.hosts[side.name].definition(MACHINE).disks
        return place

    def end(self, side: Stand) -> None:
        """End the machine of a side in order."""
        with closing(
            Monitor.connect(self.stage.folder / side.name / "machines" / MACHINE / "power.qmp")
        ) as qmp:
            qmp.execute("quit")
        wait_until(lambda: self.hosts[side.name].power(MACHINE) is Power.OFF, PATIENCE_SECONDS)

    def protect(self) -> None:
        """Bring a first point into the store, and end the machine."""
        first = self.stage.first
        first.run("machine", "define", MACHINE, "--file", "shop.json")
        first.run("machine", "start", MACHINE)
        first.run("key", "create", "main.key")
        first.run("store", "init", "store")
        first.run("protect", f"first#{MACHINE}", "store", "--group", MACHINE)
        provider = first.begin("provider", "run", "first-provider")
        wait_until(lambda: self.stage.points(MACHINE) > 0, PATIENCE_SECONDS)
        provider.terminate()
        provider.wait(PATIENCE_SECONDS)
        self.end(first)

    def change(self, sink: DiskSink) -> dict[int, bytes]:
        """Write to one of a hundred blocks, here and there, what does not compress."""
        blocks = {
            at: self.chance.randbytes(BLOCK) for at in self.chance.sample(range(SIZE // BLOCK), CHANGED)
        }
        with closing(sink):
            for at in sorted(blocks):
                sink.write(at * BLOCK, memoryview(blocks[at]))
            sink.flush()
        return blocks

    def stored(self) -> int:
        """Return how many bytes the store has."""
        return sum(path.stat().st_size for path in self.stage.path("store").rglob("*") if path.is_file())

    def handed_over(self, side: Stand) -> int:
        """Hand the machine over, and return how many bytes that brought into the store."""
        before = self.stored()
        side.run("replica", "hand-over", "store", MACHINE)
        return self.stored() - before


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    with tempfile.TemporaryDirectory(prefix="cross-") as folder, Sites() as sites:
        yield Crossing(Path(folder), sites)


def holds(place: DiskPlace, blocks: dict[int, bytes]) -> bool:
    with closing(open_source(f"{place.words}?format={place.format}")) as source:
        found = bytearray(BLOCK)
        for at, block in blocks.items():
            source.read_into(at * BLOCK, memoryview(found))
            if found != block:
                return False
    return True


def test_a_hundredth_of_a_disk_changed_is_a_hundredth_moved_there_and_back(crossing: Crossing) -> None:
    first, second = crossing.stage.first, crossing.stage.second
    crossing.protect()
    second.run("replica", "fail-over", "store", MACHINE)
    second.run("replica", "commit", "store", MACHINE)
    crossing.end(second)
    blocks = crossing.change(open_sink(crossing.disk(second).words, SIZE))
    assert CHANGED * BLOCK < crossing.handed_over(second) <= AT_MOST, "replicated back"
    home = first.run_json("replica", "fail-back", "store", MACHINE)
    assert CHANGED * BLOCK <= home["fetched_bytes"] <= AT_MOST, "brought home"
    first.run("replica", "commit", "store", MACHINE)
    second.run("replica", "release", "store", MACHINE)
    crossing.end(first)
    assert holds(crossing.disk(first), blocks)
    crossing.change(QcowImages().open_beside(crossing.disk(first), SIZE, None))
    assert CHANGED * BLOCK < crossing.handed_over(first) <= AT_MOST, "replicated over again"
