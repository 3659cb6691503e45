"""restic: encrypted, compressed (auto), deduplicated by content."""

from __future__ import annotations

from pathlib import Path

from ..process import Cost, run
from ..runner import Room
from ..tools import apt


class Restic:
    name = "restic"
    has_delta = True

    def install(self, _cache: Path) -> None:
        apt("restic", "restic")

    def prepare(self, room: Room) -> None:
        self._room = room
        self._env = {
            "RESTIC_REPOSITORY": str(room.store),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(room.path / "cache"),
        }
        self._run("init")

    def full(self) -> Cost:
        return self._run("backup", "disk.img")

    def delta(self) -> Cost:
        return self._run("backup", "disk.img")

    def restore(self, into: Path) -> Cost:
        return self._run("restore", "latest", "--target", str(into))

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()

    def _run(self, *words: str) -> Cost:
        return run(["restic", "-q", *words], cwd=self._room.path, env=self._env)
