"""A store in memory, and disks that keep a diary and fail on command."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from blake3 import blake3

from bascule.blocks.cut import BLOCK
from bascule.blocks.extents import Extent, total
from bascule.data.pipeline import Capture, Conduct, Meter, Progress
from bascule.data.store import DiskKey, DiskSpec, GroupWriter, KeyFile, MachineSpec, Tuning, Vault
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.ports.disks import DiskSource

GROUP = "shop"
DISK = DiskKey("vm-1", "sda")
CAPTURED = 1_700_000_000.0


class SeededIds:
    """Chance that repeats itself."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._turn = threading.Lock()

    def random(self, count: int) -> bytes:
        with self._turn:
            return self._chance.randbytes(count)


class Image:
    """A DiskSource over bytes. ``diary`` lists what was read; the read that touches ``broken`` raises."""

    def __init__(
        self,
        content: bytes,
        extents: Iterable[Extent] | None = None,
        *,
        is_delta: bool = False,
        is_near: bool = False,
        broken: tuple[int, BaseException] | None = None,
    ) -> None:
        self.content = content
        self.size_bytes = len(content)
        self.is_delta = is_delta
        self.is_near = is_near
        self._extents = (Extent(0, len(content)),) if extents is None else tuple(extents)
        self._broken = broken
        self.diary: list[Extent] = []
        self.expected: list[Extent] = []

    def extents(self) -> Iterator[Extent]:
        return iter(self._extents)

    def expect(self, extents: Sequence[Extent]) -> None:
        self.expected += extents

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.diary.append(Extent(offset, len(buffer)))
        if self._broken is not None and offset <= self._broken[0] < offset + len(buffer):
            raise self._broken[1]
        buffer[:] = self.content[offset : offset + len(buffer)]

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        for offset, buffer in pieces:
            self.read_into(offset, buffer)

    def close(self) -> None:
        """Hold nothing."""

    @property
    def read_bytes(self) -> int:
        return total(self.diary)


class Target:
    """A DiskSink over bytes; ``durable`` survives a power cut; the write that touches ``broken`` raises."""

    def __init__(
        self,
        size: int,
        *,
        dirt: bytes = b"",
        broken: tuple[int, BaseException] | None = None,
    ) -> None:
        self.size_bytes = size
        self.content = bytearray(dirt or bytes(size))
        self.durable = bytes(self.content)
        self.is_zeroed = not dirt
        self._broken = broken
        self._turn = threading.Lock()
        self.written: list[Extent] = []
        self.zeroed: list[Extent] = []

    def write(self, offset: int, data: memoryview) -> None:
        self._check(Extent(offset, len(data)))
        with self._turn:
            self.content[offset : offset + len(data)] = data
            self.written.append(Extent(offset, len(data)))

    def zero(self, extent: Extent) -> None:
        self._check(extent)
        with self._turn:
            self.content[extent.offset : extent.end] = bytes(extent.length)
            self.zeroed.append(extent)

    def flush(self) -> None:
        with self._turn:
            self.durable = bytes(self.content)

    def close(self) -> None:
        """Hold nothing."""

    def _check(self, extent: Extent) -> None:
        assert extent.offset >= 0
        assert extent.end <= self.size_bytes
        if self._broken is not None and extent.offset <= self._broken[0] < extent.end:
            raise self._broken[1]


@dataclass
class World:
    """One vault in memory."""

    clock: SetClock = field(default_factory=SetClock)
    heard: list[Progress] = field(default_factory=list)
    ids: SeededIds = field(default_factory=SeededIds)

    def __post_init__(self) -> None:
        self.objects = MemoryStore(self.clock)
        self.vault = Vault.init(self.objects, KeyFile(bytes(32)), ids=self.ids, clock=self.clock)

    def reopened(self) -> World:
        """Return the world as a fresh process finds it after a power cut."""
        other = World.__new__(World)
        other.clock, other.heard, other.ids = self.clock, [], self.ids
        other.objects = self.objects.survivor()
        other.vault = Vault.open(other.objects, KeyFile(bytes(32)), ids=self.ids, clock=self.clock)
        return other

    def conduct(self, **rest: object) -> Conduct:
        return Conduct(Meter(self.clock, self.heard.append), **rest)

    def writer(self, tuning: Tuning | None = None) -> GroupWriter:
        return self.vault.begin(GROUP, writer="test", tuning=tuning)

    def content(self, disk: DiskKey = DISK, number: int | None = None) -> bytes:
        """Read a disk of a point back, whole."""
        with self.vault.point(GROUP, number, purpose="test") as point:
            reader = point.disk(disk)
            found = bytearray(reader.size_bytes)
            reader.read_into(0, memoryview(found))
            return bytes(found)

    def data_bytes(self, disk: DiskKey = DISK) -> int:
        """Count what the newest point maps of a disk."""
        with self.vault.point(GROUP, purpose="test") as point:
            return sum(extent.length for extent, is_data in point.disk(disk).extents() if is_data)

    def point_count(self) -> int:
        return len(self.vault.points(GROUP))


def capture(*sources: Image, **rest: object) -> Capture:
    """Return a capture of one machine with a disk per source."""
    return capture_of({DiskKey(DISK.machine, f"sd{chr(97 + i)}"): source for i, source in enumerate(sources)})


def capture_of(sources: Mapping[DiskKey, DiskSource]) -> Capture:
    """Return a capture of all machines that the disks name."""
    machines = tuple(
        MachineSpec(
            name,
            name.upper(),
            tuple(
                DiskSpec(key.disk, source.size_bytes)
                for key, source in sources.items()
                if key.machine == name
            ),
        )
        for name in sorted({key.machine for key in sources})
    )
    return Capture(machines, sources, CAPTURED)


def noise(length: int, seed: int) -> bytes:
    """Return bytes that do not compress and differ by seed."""
    return blake3(str(seed).encode()).digest(length)


def blocks(*content: int, tail: int = 0) -> bytes:
    """Return a disk of 64 KiB blocks: 0 is a hole, any other number is noise of that seed."""
    whole = b"".join(noise(BLOCK, seed) if seed else bytes(BLOCK) for seed in content)
    return whole + (noise(tail, 99) if tail else b"")


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fail if the body leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not left, f"still running: {left}"
