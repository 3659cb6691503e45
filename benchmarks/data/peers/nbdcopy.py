"""nbdcopy into a raw file: what moving the bytes alone costs. No encryption, compression or hash."""

from __future__ import annotations

from pathlib import Path

from ..process import Cost, Failed, run
from ..runner import Room
from ..tools import apt


class NbdCopy:
    name = "nbdcopy"
    has_delta = False

    def install(self, _cache: Path) -> None:
        apt("nbdcopy", "libnbd-bin")

    def prepare(self, room: Room) -> None:
        self._room = room

    def full(self) -> Cost:
        return run(["nbdcopy", self._room.disk, self._room.store / "disk.img"])

    def delta(self) -> Cost:
        raise Failed("nbdcopy has no delta")

    def restore(self, into: Path) -> Cost:
        return run(["nbdcopy", self._room.store / "disk.img", into / "disk.img"])

    def stored_bytes(self) -> int:
        """What is allocated: the copy is sparse."""
        return (self._room.store / "disk.img").stat().st_blocks * 512
