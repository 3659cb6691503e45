"""Points to serve: bare bytes that keep the promises of a base, and real ones in a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from random import Random

from bascule.apps.chance import SystemClock, SystemIds
from bascule.blocks.extents import Extent
from bascule.data.instant.base import Part
from bascule.data.store import BLOCK, FRAME, DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.ports.chance import Clock

GROUP, MACHINE = "shop", "web"
KEY = KeyFile(bytes(range(32)))


class PlainBase:
    """A base of the bytes it is given, in parts of at most 64 KiB, zeroes as holes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> list[Part]:
        assert 0 <= offset <= offset + length <= len(self.content)
        return [
            (len(piece), memoryview(piece) if any(piece) else None)
            for extent in self._pieces(offset, length)
            for piece in (self.content[extent.offset : extent.end],)
        ]

    def is_ready(self, offset: int, length: int) -> bool:
        return True

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        return self.read(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        for extent in self._pieces(offset, length):
            yield extent, any(self.content[extent.offset : extent.end])

    def _pieces(self, offset: int, length: int) -> Iterator[Extent]:
        end = offset + length
        while offset < end:
            stop = min(offset // 65536 * 65536 + 65536, end)
            yield Extent(offset, stop - offset)
            offset = stop


def content(size: int, seed: int = 1) -> bytes:
    """Return bytes of which every sector is different, with a hole of two blocks where there is room."""
    data = bytearray(Random(seed).randbytes(size))
    if size > 4 * 65536:
        data[65536 : 3 * 65536] = bytes(2 * 65536)
    return bytes(data)


def vault(disks: dict[str, bytes], objects: MemoryStore | None = None, clock: Clock | None = None) -> Vault:
    """Return a vault with one point that holds these disks, in frames of 256 KiB, zeroes left out."""
    objects = objects if objects is not None else MemoryStore()
    made = Vault.init(objects, KEY, ids=SystemIds(), clock=clock or SystemClock())
    add_point(made, disks, {disk: bytes(len(data)) for disk, data in disks.items()}, FRAME)
    return made


def opened(objects: MemoryStore, clock: Clock | None = None) -> Vault:
    """Open a vault as a fresh process would."""
    return Vault.open(objects, KEY, ids=SystemIds(), clock=clock or SystemClock())


def add_point(made: Vault, disks: dict[str, bytes], before: dict[str, bytes], longest: int = BLOCK) -> None:
    """Add a point with the blocks that changed, in frames of at most ``longest`` bytes."""
    specs = tuple(DiskSpec(disk, len(data)) for disk, data in disks.items())
    with made.begin(GROUP, writer="test") as writer:
        cut = writer.cut([MachineSpec(MACHINE, MACHINE, specs)], captured_at=1.0)
        lane = cut.lane()
        for disk, data in disks.items():
            key = DiskKey(MACHINE, disk)
            for extent, holds_data in changes(data, before[disk], longest):
                if holds_data:
                    lane.write(key, extent.offset, data[extent.offset : extent.end])
                else:
                    lane.erase(key, extent)
        lane.close()
        cut.publish()


def changes(data: bytes, before: bytes, longest: int) -> Iterator[tuple[Extent, bool]]:
    """Yield changed blocks, joined within frames of ``longest`` bytes, and whether they hold data."""

    def kind(offset: int) -> bool | None:
        block = data[offset : offset + BLOCK]
        return None if block == before[offset : offset + BLOCK] else any(block)

    for place in range(0, len(data), longest):
        blocks = range(place, min(place + longest, len(data)), BLOCK)
        for holds_data, group in groupby(blocks, key=kind):
            if holds_data is not None:
                offsets = list(group)
                yield Extent(offsets[0], min(offsets[-1] + BLOCK, len(data)) - offsets[0]), holds_data
