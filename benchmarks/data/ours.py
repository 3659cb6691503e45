"""Bascule, through its command line, as a person would run it. The one place that knows its commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bascule.blocks.extents import Extent
from benchmarks.installed import compiled
from benchmarks.report import OURS

from .process import Cost, greets, run, serving
from .runner import Room

_COMMAND = Path(sys.executable).with_name("bascule")
GROUP = "bench"
EXPORT = "disk0"


class Store:
    """A vault in a folder or container, with a key file in ``room``."""

    def __init__(self, room: Path, place: str = "", settings: Mapping[str, str] | None = None) -> None:
        self.place = place or str(room / "store")
        self.key = room / "main.key"
        self._settings = {"BASCULE_KEY_FILE": str(self.key), **(settings or {})}

    def init(self) -> None:
        """Make the key and an empty vault."""
        compiled()
        self._run("key", "create", str(self.key))
        self._run("store", "init", self.place)

    def copy(self, source: str | Path, changed: Path | None = None) -> Cost:
        """Copy a disk into a new point; ``changed`` lists what is not as it was in the last."""
        hints = ["--changed", str(changed)] if changed else []
        return self._run("copy", str(source), self.place, "--group", GROUP, *hints)

    def restore(self, target: Path) -> Cost:
        """Write the newest point's disk to a raw file."""
        return self._run("restore", self.place, GROUP, f"{target}?format=raw")

    def serve(self, socket: Path) -> AbstractContextManager[int]:
        """Serve the newest point's disk on a Unix socket; gives the server's process id."""
        words: list[str | Path] = [_COMMAND, "serve-point", self.place, GROUP, "--socket", socket]
        return serving(words, greets(socket), env=self._settings)

    def _run(self, *words: str) -> Cost:
        return run([_COMMAND, *words], env=self._settings)


def write_extents(path: Path, extents: Sequence[Extent]) -> Path:
    """Write the list of ranges that ``copy --changed`` reads."""
    path.write_text("".join(f"{extent.offset} {extent.length}\n" for extent in extents))
    return path


class Bascule:
    """Ours in the row of runners: sealed, compressed, hashed, durable; deltas from a list of what changed."""

    name = OURS
    has_delta = True

    def install(self, _cache: Path) -> None:
        """It is what this interpreter has installed."""

    def prepare(self, room: Room) -> None:
        room.store.rmdir()
        self._room, self._store = room, Store(room.path)
        self._store.init()
        self._changed = write_extents(room.path / "changed", room.image.changed)

    def full(self) -> Cost:
        return self._store.copy(self._room.disk)

    def delta(self) -> Cost:
        return self._store.copy(self._room.disk, self._changed)

    def restore(self, into: Path) -> Cost:
        return self._store.restore(into / "disk.img")

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()
