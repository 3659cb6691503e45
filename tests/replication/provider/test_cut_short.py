"""A first copy cut short at any moment, by the death of any part: what is durable is not stored twice.

R-P-3, R-R-10; with real processes, drives and servers in ``tests/lab/cuts``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemIds
from bascule.data.store import DiskKey, Vault
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeSource
from bascule.drivers.objects.memory import Crash
from bascule.model.errors import Unavailable
from bascule.model.items import State

from .scenes import KEY, Scene

MIB = 1 << 20
SIZE = 24 * MIB
CUTS = 3


class Fragile:
    """A frozen disk that its hypervisor shows no longer when the machine dies, after so many reads."""

    def __init__(self, source: FakeSource, host: FakeHost, left: int) -> None:
        self._source, self._host, self._left = source, host, left
        self.size_bytes, self.is_delta, self.is_near = source.size_bytes, source.is_delta, source.is_near
        self.extents, self.expect, self.close = source.extents, source.expect, source.close

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if self._left == 0:
            self._host.lose_power()
            raise Unavailable("the machine is gone")
        self._left -= 1
        self._source.read_into(offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        for offset, buffer in pieces:
            self.read_into(offset, buffer)


class Fragility(Scene):
    """A scene with a larger disk, whose parts die at a moment that is told."""

    def __init__(self, room: Path) -> None:
        super().__init__(room)
        self.host = FakeHost({"disk0": self.chance.randbytes(SIZE)}, "web")
        self.hosts = {"web": self.host}
        self.protect()
        self.running = self.item()
        self.reads_left = -1

    def open_source(self, words: str) -> Fragile:
        source = super().open_source(words)
        assert isinstance(source, FakeSource)
        return Fragile(source, self.host, self.reads_left)

    def machine(self, segment: int) -> None:
        """The machine dies when about so many segments are read."""
        self.reads_left = segment
        self.step(self.running)
        self.reads_left = -1
        self.host.is_up = True

    def provider(self, segment: int) -> None:
        """The provider dies while it stores a segment; the next one finds what is durable."""
        self.objects.crash(
            "create", at=segment, prefix="segments/", when=self.chance.choice(["before", "after"])
        )
        with pytest.raises(Crash):
            self.running.step()
        self.objects = self.objects.survivor()
        self.vault = Vault.open(self.objects, KEY, ids=SystemIds(), clock=self.clock)
        self.running = self.item()

    def both(self, segment: int) -> None:
        """Provider, machine and store lose their power."""
        self.provider(segment)
        self.boot_after_a_power_cut()

    def store(self, segment: int) -> None:
        """The store is away from a segment on, and comes back."""
        self.objects.fail("create", at=segment, prefix="segments/", times=1 << 30)
        self.step(self.running)
        assert self.facts().trouble is not None
        self.objects.heal()

    def stored(self) -> int:
        return sum(len(self.objects.content(name)) for name in self.objects.names("segments/"))


DEATHS: dict[str, Callable[[Fragility, int], None]] = {
    "provider": Fragility.provider,
    "machine": Fragility.machine,
    "host": Fragility.both,
    "store": Fragility.store,
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("death", DEATHS)
def test_a_first_copy_that_is_cut_short_stores_nothing_twice(tmp_path: Path, death: str, seed: int) -> None:
    scene, chance = Fragility(tmp_path), Random(f"{death} {seed}")
    lived = [0]
    for _ in range(CUTS):
        DEATHS[death](scene, chance.randint(1, 4))
        assert scene.facts().newest is None, "cut too late to tell anything"
        lived.append(scene.stored())
    while scene.facts().newest is None:
        scene.step(scene.running)
    assert lived[-1] > 0
    assert SIZE < scene.stored() < SIZE * 1.02
    facts = scene.facts()
    assert (facts.state, facts.totals.resent_bytes) == (State.REPLICATING, 0)
    assert facts.totals.sent_bytes <= SIZE - lived[-1] * 0.98
    with scene.vault.peek("web") as point:
        found = bytearray(SIZE)
        point.disk(DiskKey("web", "disk0")).read_into(0, memoryview(found))
    assert found == scene.host.disks["disk0"].content
