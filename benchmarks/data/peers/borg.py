"""borg: zstd level 1, repokey-blake2."""

from __future__ import annotations

from pathlib import Path

from ..process import Cost, run
from ..runner import Room
from ..tools import apt


class Borg:
    name = "borg"
    has_delta = True

    def install(self, _cache: Path) -> None:
        apt("borg", "borgbackup")

    def prepare(self, room: Room) -> None:
        self._room = room
        self._newest = ""
        self._env = {
            "BORG_REPO": str(room.store),
            "BORG_PASSPHRASE": "benchmark",
            "BORG_BASE_DIR": str(room.path / "base"),
        }
        self._run(room.path, "init", "-e", "repokey-blake2")

    def full(self) -> Cost:
        return self._create("full")

    def delta(self) -> Cost:
        return self._create("delta")

    def restore(self, into: Path) -> Cost:
        return self._run(into, "extract", "--sparse", f"::{self._newest}")

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()

    def _create(self, archive: str) -> Cost:
        self._newest = archive
        return self._run(self._room.path, "create", "-C", "zstd,1", f"::{archive}", "disk.img")

    def _run(self, where: Path, *words: str) -> Cost:
        return run(["borg", *words], cwd=where, env=self._env)
