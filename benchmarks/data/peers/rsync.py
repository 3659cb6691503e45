"""rsync in place: a plain copy, with rolling checksums for the delta. No encryption, no compression."""

from __future__ import annotations

from pathlib import Path

from ..process import Cost, run
from ..runner import Room
from ..tools import apt


class Rsync:
    name = "rsync"
    has_delta = True

    def install(self, _cache: Path) -> None:
        apt("rsync", "rsync")

    def prepare(self, room: Room) -> None:
        self._room = room

    def full(self) -> Cost:
        return run(["rsync", "--inplace", self._room.disk, f"{self._room.store}/"])

    def delta(self) -> Cost:
        return run(["rsync", "--inplace", "--no-whole-file", self._room.disk, f"{self._room.store}/"])

    def restore(self, into: Path) -> Cost:
        return run(["rsync", "--inplace", self._room.store / "disk.img", f"{into}/"])

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()
