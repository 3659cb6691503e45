"""Two hosts in memory and the store between them, where everything can die at every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bascule.apps.chance import SystemIds
from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.hypervisors.fake.host import FakeHypervisor
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic
from bascule.model.notes import MachineNote, to_text
from bascule.ports.serving import Served
from bascule.recovery.record import Records
from bascule.recovery.site import Site
from tests.data.pipeline.worlds import Image

BLOCK = 65536
SIZE = 32 * BLOCK
GROUP = "shop"
MACHINES = ("db", "web")
KEY = KeyFile(bytes(32))


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


class DyingStore(MemoryStore):
    """A store whose writers may die before and after each object they create."""

    fate: Fate

    def create(self, name: str, data: bytes | memoryview) -> None:
        self.fate.step()
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

    def is_empty(self) -> bool:
        """Tell whether nothing of a recovery is left on the host."""
        kept = self.serving.kept or self.serving.up
        return not (kept or self.host.images or self.host.machines() or self.site().records.groups())
