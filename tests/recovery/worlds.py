"""Two hosts in memory and the store between them, where everything can die at every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bascule.apps.chance import SystemIds
from bascule.blocks.extents import Extent
from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.hypervisors.fake.host import FakeHypervisor
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.errors import Unavailable
from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic, Power
from bascule.model.notes import MachineNote, to_text
from bascule.ports.serving import Served
from bascule.recovery.record import Records
from bascule.recovery.shapes.asked import Asked, Wanted
from bascule.recovery.shapes.shape import Shape
from bascule.recovery.site import Site
from tests.data.pipeline.worlds import Image

BLOCK = 65536
SIZE = 16 * BLOCK
GROUP = "shop"
MACHINES = ("db", "web")
KEY = KeyFile(bytes(32))


def called(**names: str) -> Shape:
    """Return a shape that only gives names."""
    return Shape((Asked({machine: Wanted(name) for machine, name in names.items()}),))


class Died(BaseException):
    """The process that did it is no more. Not an Exception, so that no handler carries on after it."""


@dataclass
class Fate:
    """Counts the steps that somebody takes in the world, and lets them die at one of them."""

    steps: int = 0
    dies_at: int = -1

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            raise Died


class FakeServing:
    """Serves points by putting them into the fake host's images; what machines write stays there."""

    def __init__(self, vault: Vault, host: FakeHypervisor, fate: Fate) -> None:
        self._vault = vault
        self._host = host
        self._fate = fate
        self.up: set[Path] = set()
        self.kept: dict[Path, list[str]] = {}

    def words(self, folder: Path, disk: str) -> str:
        return f"nbd+unix:///{disk}?socket={folder}/socket"

    def start(self, served: Served) -> None:
        self._fate.step()
        if served.folder not in self.kept:
            with self._vault.peek(served.group, served.number) as point:
                for key in point.disks():
                    if key.machine == served.machine:
                        content = bytearray(point.disk(key).size_bytes)
                        point.disk(key).read_into(0, memoryview(content))
                        self._host.make(self.words(served.folder, key.disk), bytes(content))
                        self.kept.setdefault(served.folder, []).append(key.disk)
        self.up.add(served.folder)
        self._fate.step()

    def is_up(self, folder: Path) -> bool:
        return folder in self.up

    def stop(self, folder: Path) -> None:
        self.up.discard(folder)

    def throw_away(self, folder: Path) -> None:
        self._fate.step()
        self.up.discard(folder)
        for disk in self.kept.pop(folder, []):
            del self._host.images[self.words(folder, disk)]
        self._fate.step()


class FakeImages:
    """Images of a fake host; one that lies on another begins as a copy of it."""

    def __init__(self, host: FakeHypervisor, fate: Fate) -> None:
        self._host = host
        self._fate = fate
        self.below: dict[str, DiskPlace] = {}

    def open(self, place: DiskPlace) -> Image:
        return Image(bytes(self._host.images[place.words].content))

    def is_there(self, place: DiskPlace) -> bool:
        return place.words in self._host.images

    def size_bytes(self, place: DiskPlace) -> int:
        return len(self._host.images[place.words].content)

    def open_beside(self, place: DiskPlace, size_bytes: int, on: DiskPlace | None) -> Opened:
        self._fate.step()
        if place.words not in self._host.images:
            content = bytes(self._host.images[on.words].content) if on else bytes(size_bytes)
            self._host.make(place.words, content)
            if on:
                self.below[place.words] = on
        self._fate.step()
        return Opened(self._host.images[place.words].content, self._fate)

    def record(self, place: DiskPlace, name: str) -> None:
        self._fate.step()
        self._host.images[place.words].record(name)
        self._fate.step()

    def melt(self, place: DiskPlace) -> DiskPlace | None:
        self._fate.step()
        below = self.below.get(place.words)
        if below is not None:
            self._host.images[below.words].content[:] = self._host.images[place.words].content
        self._fate.step()
        return below


class Opened:
    """An image of a fake host, opened; whoever writes may die of it."""

    is_delta = is_near = is_zeroed = False

    def __init__(self, content: bytearray, fate: Fate) -> None:
        self._content = content
        self._fate = fate
        self.size_bytes = len(content)

    def extents(self) -> Iterator[Extent]:
        return iter((Extent(0, self.size_bytes),))

    def expect(self, extents: Sequence[Extent]) -> None:
        """Nothing can be begun."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._content[offset : offset + len(buffer)]

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        for offset, buffer in pieces:
            self.read_into(offset, buffer)

    def write(self, offset: int, data: memoryview) -> None:
        self._fate.step()
        self._content[offset : offset + len(data)] = data

    def zero(self, extent: Extent) -> None:
        self._fate.step()
        self._content[extent.offset : extent.end] = bytes(extent.length)

    def flush(self) -> None:
        self._fate.step()

    def close(self) -> None:
        """Hold nothing."""


class DyingStore(MemoryStore):
    """A store whose writers may die before and after each object they create, and that can be full."""

    fate: Fate
    room: float = math.inf

    def fill(self) -> None:
        """From now on there is room for as many bytes as lie here now."""
        self.room = sum(info.size for info in self.list(""))

    def create(self, name: str, data: bytes | memoryview) -> None:
        self.fate.step()
        if self.room < math.inf and sum(info.size for info in self.list("")) + len(data) > self.room:
            raise Unavailable(f"writing {name}: No space left on device", code="no-room")
        super().create(name, data)
        self.fate.step()


@dataclass
class World:
    """A group of two machines on one side, with three points in the store, and a host on the other side."""

    root: Path
    fate: Fate = field(default_factory=Fate)
    clock: SetClock = field(default_factory=SetClock)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(7)
        self.objects = DyingStore(self.clock)
        self.objects.fate = Fate()
        self.vault = Vault.init(self.objects, KEY, ids=SystemIds(), clock=self.clock)
        self.host = FakeHypervisor(self.clock, SystemIds(), ["lan", "test"])
        self.serving = FakeServing(self.vault, self.host, self.fate)
        self.images = FakeImages(self.host, self.fate)
        self.truth: dict[int, dict[DiskKey, bytes]] = {}
        for _ in range(3):
            self.publish()
        self.objects.fate = self.fate
        self.host.interrupt = lambda _verb, _moment: self.fate.step()

    def publish(self, group: str = GROUP) -> int:
        """Publish a point as the machines' replicator does."""
        disks = {DiskKey(m, d): self.chance.randbytes(SIZE) for m in MACHINES for d in ("root", "data")}
        specs = [
            MachineSpec(
                name,
                name,
                (DiskSpec("root", SIZE), DiskSpec("data", SIZE)),
                to_text(MachineNote(self.definition(name))),
            )
            for name in MACHINES
        ]
        sources = {key: Image(content) for key, content in disks.items()}
        with self.vault.begin(group, writer="replicator") as writer:
            copied = copy(writer, Capture(specs, sources, self.clock.now()), Conduct(Meter(self.clock)))
        self.truth[copied.point.number] = disks
        return copied.point.number

    def definition(self, name: str) -> MachineDefinition:
        places = (DiskPlace("root", f"/{name}/root"), DiskPlace("data", f"/{name}/data"))
        return MachineDefinition(name, Hardware(2, 256, nics=(Nic("nic0", "lan"),)), places)

    def site(self) -> Site:
        """Return the recovery side as a fresh process sees it."""
        return Site(
            self.vault,
            self.host,
            self.serving,
            self.images,
            lambda: Conduct(Meter(self.clock), workers=1, readers=1),
            Records(self.root / "records"),
            SystemIds(),
            "admin@second",
            self.said.append,
        )

    def lives(self) -> None:
        """Nobody dies any more."""
        self.fate.dies_at = -1

    def dies_at(self, step: int) -> None:
        self.fate.steps, self.fate.dies_at = 0, step

    def running(self) -> dict[str, dict[str, bytes]]:
        """Return the machines that run on the recovery side, and what their disks hold."""
        return {
            name: {disk: bytes(found.content) for disk, found in machine.disks.items()}
            for name, machine in self.host.running.items()
        }

    def at(self, number: int, suffix: str = "") -> dict[str, dict[str, bytes]]:
        """Return what runs if the machines run as of a point."""
        found: dict[str, dict[str, bytes]] = {}
        for key, content in self.truth[number].items():
            found.setdefault(key.machine + suffix, {})[key.disk] = content
        return found

    def numbers(self) -> list[int]:
        return [point.number for point in self.vault.points(GROUP)]

    def power_of(self, host: FakeHypervisor, name: str) -> Power:
        return host.power(name)

    def is_empty(self) -> bool:
        """Tell whether nothing of a recovery is left on the host."""
        kept = self.serving.kept or self.serving.up
        return not (kept or self.host.images or self.host.machines() or self.site().records.groups())
