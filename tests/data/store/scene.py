"""A vault in memory, and an oracle that knows what every point must hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bascule.blocks.extents import Extent
from bascule.data.store import (
    BLOCK,
    Cut,
    DiskKey,
    DiskSpec,
    GroupWriter,
    KeyFile,
    MachineSpec,
    PointInfo,
    PointReader,
    Shape,
    Tuning,
    Vault,
)
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import MemoryStore, SetClock

GROUP = "shop"
KEY = KeyFile(bytes(range(32)))
# Small enough that a handful of blocks makes layers, pages, merges and segments.
TINY = Tuning(upload_threads=1, buffers=3, inline_bytes=3000, shape=Shape(4, 4, 16))


class SeededIds:
    """Randomness that a failing test can repeat."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def random(self, count: int) -> bytes:
        return self._random.randbytes(count)


_SEEDS = iter(range(1, 1 << 60))


def seeds() -> SeededIds:
    """A source that no other process of the same test draws from."""
    return SeededIds(next(_SEEDS))


def block_of(value: int, length: int = BLOCK) -> bytes:
    """A block's worth of bytes that compress well and are told apart by ``value``; 0 is all zero."""
    return value.to_bytes(4, "big") * (length // 4) + bytes(length % 4)


Change = dict[int, int]
"""Block number to value; 0 erases."""


@dataclass
class Scene:
    """Disks of machines of one group, and what each point of them must hold."""

    objects: MemoryStore | LocalStore = field(default_factory=MemoryStore)
    tuning: Tuning = TINY
    disks: dict[DiskKey, int] = field(default_factory=lambda: {DiskKey("web", "a"): 12 * BLOCK + 100})
    now: dict[DiskKey, bytearray] = field(default_factory=dict)
    points: dict[int, dict[DiskKey, bytes]] = field(default_factory=dict)
    publish: Callable[[Cut], PointInfo] = Cut.publish
    clock: SetClock = field(default_factory=SetClock)

    def __post_init__(self) -> None:
        if isinstance(self.objects, MemoryStore):
            assert isinstance(self.objects.clock, SetClock)
            self.clock = self.objects.clock

    def init(self) -> Scene:
        self.vault = Vault.init(self.objects, KEY, ids=seeds(), clock=self.clock)
        self.now = {disk: bytearray(size) for disk, size in self.disks.items()}
        return self

    def reopen(self, objects: MemoryStore | LocalStore | None = None) -> Vault:
        """Open the vault as a fresh process would."""
        if objects is not None:
            self.objects = objects
        self.vault = Vault.open(self.objects, KEY, ids=seeds(), clock=self.clock)
        return self.vault

    def copied(self) -> Scene:
        """Return a world of its own that is as this one is now; to make one anew takes ten times as long."""
        assert isinstance(self.objects, MemoryStore)
        store = self.objects.survivor()
        store.clock = SetClock(self.clock.time)
        now = {disk: bytearray(content) for disk, content in self.now.items()}
        other = Scene(store, self.tuning, dict(self.disks), now, dict(self.points))
        other.reopen()
        return other

    def writer(self, group: str = GROUP) -> GroupWriter:
        return self.vault.begin(group, writer="test", tuning=self.tuning)

    def machines(self) -> list[MachineSpec]:
        names = dict.fromkeys(disk.machine for disk in self.disks)
        return [
            MachineSpec(
                name,
                name.upper(),
                tuple(DiskSpec(d.disk, s) for d, s in self.disks.items() if d.machine == name),
            )
            for name in names
        ]

    def point(self, writer: GroupWriter, changes: dict[DiskKey, Change] | Change) -> PointInfo:
        """Write a point and remember what it must hold."""
        by_disk = changes if _by_disk(changes) else {next(iter(self.disks)): changes}
        after = {disk: bytearray(content) for disk, content in self.now.items()}
        with writer.cut(self.machines(), captured_at=self.clock.now()) as cut:
            lane = cut.lane()
            for disk, change in by_disk.items():
                for number, value in sorted(change.items()):
                    low = number * BLOCK
                    high = min(low + BLOCK, self.disks[disk])
                    data = block_of(value, high - low)
                    after[disk][low:high] = data
                    if value:
                        lane.write(disk, low, data)
                    else:
                        lane.erase(disk, Extent(low, high - low))
            lane.close()
            info = self.publish(cut)
        self.now = after
        self.points[info.number] = {disk: bytes(content) for disk, content in after.items()}
        return info

    def resize(self, disk: DiskKey, size: int) -> None:
        """Grow or shrink a disk; takes effect at the next point."""
        self.disks[disk] = size
        self.now[disk] = self.now[disk][:size] + bytearray(max(0, size - len(self.now[disk])))

    def listed(self, group: str = GROUP) -> list[int]:
        return [info.number for info in self.vault.points(group)]

    def check(self, numbers: Iterable[int] | None = None) -> None:
        """Every point given, or listed, holds what the oracle says, by every way of reading."""
        for number in self.listed() if numbers is None else numbers:
            with self.vault.point(GROUP, number) as point:
                self.check_point(point)

    def check_point(self, point: PointReader) -> None:
        expected = self.points[point.info.number]
        assert {disk: disk_content(point, disk) for disk in point.disks()} == expected
        for disk, content in expected.items():
            assert by_batches(point, disk) == content


def _by_disk(changes: dict[DiskKey, Change] | Change) -> bool:
    return bool(changes) and isinstance(next(iter(changes)), DiskKey)


def disk_content(point: PointReader, disk: DiskKey) -> bytes:
    reader = point.disk(disk)
    buffer = bytearray(reader.size_bytes)
    reader.read_into(0, memoryview(buffer))
    return bytes(buffer)


def by_batches(point: PointReader, disk: DiskKey) -> bytes:
    reader = point.disk(disk)
    content = bytearray(reader.size_bytes)
    for batch in reader.batches():
        for offset, data in batch.frames():
            content[offset : offset + len(data)] = data
    return bytes(content)
