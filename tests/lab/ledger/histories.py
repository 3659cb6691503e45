"""Ledgers without a machine: every write of ``ledger.c`` in order, so that any instant can be made."""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.ledger import BLOCK, HEARD, RECORD, RECORD_HEAD, TITLE, TITLE_HEAD, Image, scatter

SECOND = 1_000_000_000
BEGUN = 1_700_000_000


@dataclass(frozen=True)
class Write:
    """One block that is written."""

    disk: int
    block: int
    content: bytes
    record: int = 0  # the number of the record, 0 for other writes


@dataclass(frozen=True)
class Shape:
    """How a ledger lies on its disks."""

    disks: int = 2
    slots: int = 4
    scattered: int = 16
    batch: int = 3

    @property
    def blocks(self) -> int:
        return 1 + self.slots + self.scattered


@dataclass
class Writer:
    """A machine that keeps a ledger."""

    shape: Shape = Shape()
    name: str = "alpha"
    birth: int = 7
    life: int = 1
    number: int = 0
    writes: int = 0
    previous: int = 0
    heard: Mapping[int, int] = field(default_factory=dict)

    def begin(self) -> Iterator[Write]:
        """Yield the titles, that of the first disk last."""
        shape = self.shape
        for disk in reversed(range(shape.disks)):
            head = (TITLE, self.birth, shape.slots, shape.scattered, shape.batch, shape.disks, disk)
            yield Write(disk, 0, closed(TITLE_HEAD.pack(*head, self.name.encode())))

    def records(self, count: int) -> Iterator[Write]:
        """Yield so many more records, with the scattered writes before each."""
        for _ in range(count):
            if self.shape.scattered:
                yield from self._batch()
            yield self._record()

    def _batch(self) -> Iterator[Write]:
        shape = self.shape
        for number in range(self.writes + 1, self.writes + shape.batch + 1):
            turn, disk = divmod(number - 1, shape.disks)
            at = 1 + shape.slots + scatter(turn % shape.scattered, shape.scattered)
            yield Write(disk, at, array("Q", range(number * 512, number * 512 + 512)).tobytes())
        self.writes += shape.batch

    def _record(self) -> Write:
        self.number += 1
        turn, disk = divmod(self.number - 1, self.shape.disks)
        time_ns = (BEGUN + self.number) * SECOND + self.life
        numbers = (self.birth, self.number, time_ns, self.writes, self.life, disk, self.previous)
        head = RECORD_HEAD.pack(RECORD, *numbers, len(self.heard))
        heard = b"".join(HEARD.pack(*words) for words in self.heard.items())
        filling = random.Random(self.number).randbytes(64) * 60
        content = closed(head + heard + filling)
        self.previous = int.from_bytes(content[-4:], "little")
        return Write(disk, 1 + turn % self.shape.slots, content, self.number)


def closed(content: bytes) -> bytes:
    """Return a block that ends with its checksum."""
    content = content[: BLOCK - 4].ljust(BLOCK - 4, b"\0")
    return content + zlib.crc32(content).to_bytes(4, "little")


def after(writes: Sequence[Write], shape: Shape, count: int | None = None) -> list[bytearray]:
    """Return the disks as they are after the first ``count`` writes."""
    disks = [bytearray(shape.blocks * BLOCK) for _ in range(shape.disks)]
    for write in writes[:count]:
        put(disks, write)
    return disks


def put(disks: Sequence[bytearray], write: Write) -> None:
    """Do a write."""
    disks[write.disk][write.block * BLOCK : (write.block + 1) * BLOCK] = write.content


def images(disks: Sequence[bytearray]) -> list[Image]:
    """Return disks to be judged."""
    return [Image(disk) for disk in disks]
