"""A provider over machines of the fake hypervisor, with time that only tests spend."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from bascule.apps.chance import SystemIds
from bascule.data.pipeline.flow.throttle import Schedule, Throttle
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.commands.host import HostCommands
from bascule.drivers.hypervisors.fake.agent import FakeAgent, FakeGuest
from bascule.drivers.hypervisors.fake.machine import FakeDisk, FakeHost, FakeMachine
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Missing, Off, Unavailable
from bascule.model.hours import ANY
from bascule.model.items import Facts, Wish
from bascule.model.policies import Policy
from bascule.ports.disks import DiskSource
from bascule.ports.machines import RunningMachine
from bascule.replication.provider.folder import ItemFolder, ProviderFolder
from bascule.replication.provider.item import Item
from bascule.replication.provider.workshop import Workshop

BLOCK = 65536
SIZE = 40 * BLOCK
KEY = KeyFile(bytes(range(32)))


class HandClock:
    """Time that moves when it is told to, or when somebody waits."""

    def __init__(self) -> None:
        # Tuesday, 12:00 UTC: office hours.
        self.time = datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp()
        self.jumped = 0.0

    def now(self) -> float:
        return self.time + self.jumped

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class WallClock:
    """The time of somebody else's clock, which does not jump with the host's."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.time

    def monotonic(self) -> float:
        return self._clock.time

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


class Scene:
    """A host, a store, and the provider's folder between them."""

    def __init__(self, room: Path, groups: tuple[str, ...] = ("web",)) -> None:
        self.clock = HandClock()
        self.chance = Random(7)
        self.hosts = {name: FakeHost({"disk0": self.chance.randbytes(SIZE)}, name) for name in groups}
        self.unknown: set[str] = set()
        self.guest = FakeGuest()
        self.objects = MemoryStore(WallClock(self.clock))
        self.vault = Vault.init(self.objects, KEY, ids=SystemIds(), clock=self.clock)
        self.folder = ProviderFolder(room / "provider")
        self.before_open: Callable[[], None] = lambda: None
        self.shop = self.workshop()

    def workshop(self, who: str = "host-a") -> Workshop:
        return Workshop(
            self.clock,
            self.vault_at,
            self.adopt,
            lambda _words: None,
            self.open_source,
            who,
            workers=1,
            agent=lambda _words, _room, _which: FakeAgent(self.guest, self.clock),
            commands=HostCommands({}),
            local_time=lambda at: datetime.fromtimestamp(at, UTC),
            throttle_of=lambda rate: Throttle(self.clock, Schedule(int(rate))) if rate else None,
        )

    def vault_at(self, place: str, key_file: str) -> AbstractContextManager[Vault]:
        self.before_open()
        return nullcontext(self.vault)

    def adopt(self, words: str, room: Path) -> RunningMachine:
        if words in self.unknown:
            raise Missing(f"{words} is not on this host", cure="see what machines the host has")
        if words not in self.hosts:
            raise Off(f"nobody answers at {words}")
        return FakeMachine(self.hosts[words], self.clock, SystemIds())

    def open_source(self, words: str) -> DiskSource:
        for host in self.hosts.values():
            if words in host.images:
                return host.open(words)
        raise Unavailable(f"nothing is served at {words}")

    def protect(self, group: str = "web", **policy: object) -> ItemFolder:
        chosen = Policy(**{"interval_seconds": 5, "resync_hours": ANY, **policy})
        item = self.folder.item(group)
        item.change(lambda _: Wish(group, (group,), "store", policy=chosen))
        return item

    def wish(self, group: str = "web", **changes: object) -> None:
        from dataclasses import replace

        self.folder.item(group).change(lambda wish: replace(wish, **changes))

    def item(self, group: str = "web", who: str = "host-a") -> Item:
        return Item(self.folder.item(group), self.workshop(who))

    def facts(self, group: str = "web") -> Facts:
        return self.folder.item(group).facts()

    def add_disk(self, group: str, disk: str) -> None:
        self.hosts[group].disks[disk] = FakeDisk(bytearray(self.chance.randbytes(SIZE)))

    def write(self, group: str = "web", blocks: int = 1) -> None:
        for _ in range(blocks):
            at = self.chance.randrange(SIZE // BLOCK) * BLOCK
            self.hosts[group].write("disk0", at, self.chance.randbytes(500))

    def step(self, item: Item) -> float:
        """Take a step, let the time pass that it asks for, and return that."""
        seconds = item.step()
        assert seconds is not None
        self.clock.time += seconds
        return seconds

    def boot_after_a_power_cut(self, group: str = "web") -> None:
        """End the machine without a goodbye, and start it again: what was recorded is gone."""
        self.hosts[group].lose_power()
        self.hosts[group].is_up = True

    def must_be_replicated(self, group: str = "web") -> None:
        with self.vault.peek(group) as point:
            image = bytearray(SIZE)
            point.disk(DiskKey(group, "disk0")).read_into(0, memoryview(image))
        assert image == self.hosts[group].disks["disk0"].content
