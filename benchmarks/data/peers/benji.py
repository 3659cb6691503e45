"""benji: blocks of 4 MiB, zstd level 1, AES-256-GCM; deltas from hints of what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from .. import tools
from ..process import Cost, run
from ..runner import Room

_CONFIG: Final = """\
configurationVersion: '1'
databaseEngine: sqlite:///{room}/benji.sqlite
defaultStorage: store
storages:
  - name: store
    storageId: 1
    module: file
    configuration:
      path: {room}/store
      activeTransforms: [zstd, aes]
transforms:
  - name: zstd
    module: zstd
    configuration:
      level: 1
  - name: aes
    module: aes_256_gcm
    configuration:
      kdfSalt: BBiZ+lIVSefMCdE4eOPX211n/04KY1M4c2SM/9XHUcA=
      kdfIterations: 20000
      password: benchmark
ios:
  - name: file
    module: file
"""


class Benji:
    name = "benji"
    has_delta = True

    def install(self, cache: Path) -> None:
        self._command = tools.benji(cache)

    def prepare(self, room: Room) -> None:
        self._room, self._newest = room, ""
        self._config = room.path / "benji.yaml"
        self._config.write_text(_CONFIG.format(room=room.path))
        hints = [
            {"offset": extent.offset, "length": extent.length, "exists": "true"}
            for extent in room.image.changed
        ]
        (room.path / "hints.json").write_text(json.dumps(hints))
        self._run("database-init")

    def full(self) -> Cost:
        self._newest = "full"
        return self._run("backup", "-u", "full", f"file:{self._room.disk}", "disk")

    def delta(self) -> Cost:
        self._newest = "delta"
        hinted = ["-f", "full", "-r", f"{self._room.path}/hints.json"]
        return self._run("backup", "-u", "delta", *hinted, f"file:{self._room.disk}", "disk")

    def restore(self, into: Path) -> Cost:
        return self._run("restore", "--sparse", self._newest, f"file:{into}/disk.img")

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()

    def _run(self, *words: str) -> Cost:
        return run([self._command, "-c", self._config, *words], cwd=self._room.path)
