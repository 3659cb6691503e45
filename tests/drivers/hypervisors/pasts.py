"""What guests may do to disks around instants: write, zero, discard, at the edges of blocks and clusters.

A past is a row of instants of one machine. Before each of them the guest changes its disks; what they are
then is read from their images. After it, between what is offered and what is read, and beside the reading
it goes on, where block and neighbour may and may not have been overwritten. What comes of the last point
and the source must be that image, byte for byte. Then the instant is kept, given up, or its owner dies.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

from bascule.blocks.extents import split
from bascule.ports.disks import DiskSource
from bascule.ports.machines import Frozen, FrozenDisk, RunningMachine, Tracking
from tests.contracts.machines import BLOCK, SIZE

SECTOR = 512
PIECE = 4 * BLOCK
DISKS = ("disk0", "disk1")


class Machine(Protocol):
    """A machine with two disks of SIZE bytes whose images lie in its room."""

    room: Path

    def adopt(self) -> RunningMachine: ...

    def do(self, disk: str, command: str) -> None:
        """Have the device do what ``qemu-io`` calls so."""

    def open(self, words: str) -> DiskSource: ...


def deed(chance: Random) -> str:
    """Return something that a guest does to a disk."""
    start = chance.randrange(SIZE // BLOCK) * BLOCK
    if chance.random() < 0.4:
        start = max(0, start + chance.choice((-1, 1)) * SECTOR * chance.choice((1, 7, 8, 64)))
    length = chance.choice((1, 1, 2, 3, 4, 8, 33)) * BLOCK
    if chance.random() < 0.4:
        length = max(SECTOR, length + chance.choice((-1, 1)) * SECTOR * chance.choice((1, 8, 64, 120)))
    length = min(length, SIZE - start)
    write = f"write -q -P {chance.randrange(1, 256)}"
    verb = chance.choice((write, "write -q -z", "write -q -z -u", "discard -q"))
    return f"{verb} {start} {length}"


class Past:
    """One machine, what its points hold, and what comes next."""

    def __init__(self, host: Machine, formats: Mapping[str, str], seed: int) -> None:
        self._host = host
        self._formats = formats
        self._chance = Random(seed)
        self._machine = host.adopt()
        self._tracking: Tracking = self._machine.settle({})
        self._points = dict.fromkeys(DISKS, bytes(SIZE))
        self._said: list[str] = [f"seed {seed}"]

    def live(self, instants: int) -> None:
        """Go through instants, all of which must be exact."""
        for _ in range(instants):
            self._live_once()

    def close(self) -> None:
        """Let go of the machine."""
        self._machine.close()

    def _live_once(self) -> None:
        chance = self._chance
        if chance.random() < 0.2:  # a first copy
            self._tracking, self._points = {}, dict.fromkeys(DISKS, bytes(SIZE))
        self._said.append("before")
        self._go_on(chance.randrange(9))
        images = {disk: self._image(disk) for disk in DISKS}
        self._said.append("instant")
        frozen = self._machine.freeze(self._tracking)
        self._go_on(chance.randrange(9))
        read = {disk.id: self._read(disk) for disk in frozen.disks}
        for disk in DISKS:
            sectors = (slice(at, at + SECTOR) for at in range(0, SIZE, SECTOR))
            wrong = [place.start for place in sectors if read[disk][place] != images[disk][place]]
            assert wrong == [], (disk, self._said)
        self._end(frozen, read)

    def _end(self, frozen: Frozen, read: dict[str, bytes]) -> None:
        end = self._chance.choice(("keep", "keep", "keep", "drop", "die"))
        self._said.append(end)
        if end == "keep":
            frozen.keep()
            self._tracking, self._points = dict(frozen.tracking), read
        elif end == "drop":
            frozen.drop()
        else:
            self._machine.close()
            self._machine = self._host.adopt()
            self._tracking = self._machine.settle(self._tracking)

    def _read(self, disk: FrozenDisk) -> bytes:
        chance = self._chance
        image = bytearray(self._points[disk.id] if disk.is_delta else bytes(SIZE))
        with closing(self._host.open(disk.words)) as source:
            if chance.random() < 0.5:
                extents = list(split(source.extents(), PIECE))
                self._go_on(chance.randrange(5))
            else:
                with self._beside(8):
                    extents = list(split(source.extents(), PIECE))
            if disk.is_delta:
                for extent in extents:
                    image[extent.offset : extent.end] = bytes(extent.length)
            with self._beside(chance.randrange(16)):
                for extent in extents:
                    source.read_into(extent.offset, memoryview(image)[extent.offset : extent.end])
        return bytes(image)

    @contextmanager
    def _beside(self, count: int) -> Iterator[None]:
        """Go on while something is read."""
        with ThreadPoolExecutor(1) as crew:
            beside = crew.submit(self._go_on, count)
            yield
            beside.result()

    def _go_on(self, count: int) -> None:
        for _ in range(count):
            disk, command = self._chance.choice(DISKS), deed(self._chance)
            self._said.append(f"{disk} {command}")
            self._host.do(disk, command)

    def _image(self, disk: str) -> bytes:
        """Return what a disk holds now: nobody writes."""
        self._host.do(disk, "flush")
        image, plain = self._host.room / disk, self._host.room / "plain"
        words = ["qemu-img", "convert", "-U", "-f", self._formats[disk], "-O", "raw", str(image), str(plain)]
        subprocess.run(words, check=True)
        return plain.read_bytes()
