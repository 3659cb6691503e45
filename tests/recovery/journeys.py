"""Machines that went over and worked there, and the host that they left, which is back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bascule.apps.chance import SystemIds
from bascule.data.pipeline import Conduct, Meter
from bascule.drivers.hypervisors.fake.host import FakeHypervisor
from bascule.recovery.fail_back import complete, synchronise
from bascule.recovery.fail_over import commit as stay
from bascule.recovery.fail_over import fail_over
from bascule.recovery.hand_over import hand_over
from bascule.recovery.record import Records
from bascule.recovery.shapes.shape import Shape
from bascule.recovery.site import Site
from bascule.replication.members import Member
from bascule.replication.replicator import Cycled, Names, Replicator
from bascule.replication.replicator import World as Around
from tests.recovery.worlds import BLOCK, GROUP, MACHINES, FakeImages, World

SAME = Shape()
AWAY = f"{GROUP}~2"
Disks = Mapping[str, Mapping[str, bytes]]


class Journey(World):
    """Machines that were recovered on the second host and wrote there, and the first host, which is back.

    The first host went on after the newest point: what it wrote then, nobody saw.
    """

    def __init__(self, root: Path, shape: Shape = SAME, number: int = 0, *, stays: bool = True) -> None:
        super().__init__(root)
        self.home = FakeHypervisor(self.clock, SystemIds(), ["lan"])
        self.home_images = FakeImages(self.home, self.fate)
        newest = self.numbers()[-1]
        self.base = self.numbers()[number - 1]
        for key, content in self.truth[newest].items():
            self.home.make(f"/{key.machine}/{key.disk}", content)
        for name in MACHINES:
            self.home.define(self.definition(name))
        self.write(self.home.images["/db/data"].content, 14)
        self.before = self.held_at_home()
        record = fail_over(self.site(), GROUP, shape, self.base)
        self.away = {member.machine: member.definition.name for member in record.members}
        if stays:
            stay(self.site(), GROUP, keeps_points=True)
        self.work(3)
        self.cycle(self.host, AWAY)
        self.home.interrupt = lambda _verb, _moment: self.fate.step()

    def write(self, content: bytearray, block: int) -> None:
        content[block * BLOCK : block * BLOCK + 50] = self.chance.randbytes(50)

    def work(self, block: int, host: FakeHypervisor | None = None) -> None:
        """Let every machine of a host write."""
        for machine in (host or self.host).running.values():
            machine.write("root", block * BLOCK, self.chance.randbytes(50))
            machine.write("data", (block + 1) * BLOCK, bytes(BLOCK))

    def held_at_home(self) -> dict[str, bytes]:
        return {words: bytes(image.content) for words, image in self.home.images.items()}

    def home_site(self) -> Site:
        return Site(
            self.vault,
            self.home,
            self.serving,
            self.home_images,
            lambda: Conduct(Meter(self.clock), workers=1, readers=1),
            Records(self.root / "home"),
            SystemIds(),
            "admin@first",
            self.said.append,
        )

    def cycle(self, host: FakeHypervisor, group: str) -> Cycled:
        """Make a point of what the machines of a host hold."""
        around = Around(self.vault, self.clock, host.open, lambda: Conduct(Meter(self.clock)))
        names = {n: self.away[n] if host is self.host else n for n in MACHINES}
        members = [
            Member(id_, lambda n=n: host.adopt(n), lambda n=n: host.definition(n)) for id_, n in names.items()
        ]
        replicator = Replicator(around, members, Names(group, "replicator"))
        try:
            return replicator.cycle()
        finally:
            replicator.close()

    def hand_over(self, host: FakeHypervisor | None = None, group: str = AWAY) -> Disks:
        """Hand the machines over, and return what they held then."""
        if host is None:
            held = self.running()
            names = list(self.away.values())
            hand_over(self.site(), group, names, lambda: self.cycle(self.host, group), 1)
        else:
            held = self.at_home()
            hand_over(self.home_site(), group, MACHINES, lambda: self.cycle(host, group), 1)
        return held

    def at_home(self) -> Disks:
        return {
            name: {disk: bytes(found.content) for disk, found in machine.disks.items()}
            for name, machine in self.home.running.items()
        }

    def go_home(self, *, whole: bool = False) -> Disks:
        """Do all of it, and return what the machines held when they left."""
        if not whole:
            synchronise(self.home_site(), AWAY, SAME)
        held = self.hand_over()
        if whole:
            synchronise(self.home_site(), AWAY, SAME, whole=True)
        complete(self.home_site(), AWAY)
        return held

    def orphans(self) -> list[str]:
        return [group for group in self.vault.groups() if "~orphan-" in group]
