"""What the harness asks of everyone it measures, us included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .images import Image
from .process import Cost


@dataclass(frozen=True, slots=True)
class Room:
    """Where one runner works: a disk under a name that stays, and a folder for its store."""

    path: Path
    image: Image

    @property
    def disk(self) -> Path:
        """The disk to protect: ``before``, and after ``change`` the changed one under the same name."""
        return self.path / "disk.img"

    @property
    def store(self) -> Path:
        return self.path / "store"

    def open(self) -> None:
        """Make the folder, with the unchanged disk in it."""
        self.path.mkdir(parents=True)
        self.store.mkdir()
        os.link(self.image.before, self.disk)

    def change(self) -> None:
        """Put the changed disk under the same name: a new inode, a new time, as after a day's work."""
        self.disk.unlink()
        os.link(self.image.after, self.disk)

    def stored_bytes(self) -> int:
        """What the store occupies, as ``du`` counts it but without rounding to blocks."""
        return sum(file.stat().st_size for file in self._files() if file.is_file())

    def _files(self) -> Iterator[Path]:
        return self.store.rglob("*")


class Runner(Protocol):
    """A way to copy a disk somewhere, to copy it again after a change, and to get it back.

    A method that returns a Cost decides what belongs in it: the command a user
    would run, not the servers that stand for his machines.
    """

    @property
    def name(self) -> str: ...

    @property
    def has_delta(self) -> bool:
        """Whether a second copy can be a delta at all."""

    def install(self, cache: Path, /) -> None:
        """Make the tool available."""

    def prepare(self, room: Room) -> None:
        """Make an empty store; not timed."""

    def full(self) -> Cost:
        """Copy ``room.disk`` for the first time."""

    def delta(self) -> Cost:
        """Copy ``room.disk`` again after 1 % of it changed."""

    def restore(self, into: Path) -> Cost:
        """Bring the newest copy back as ``into/disk.img``."""

    def stored_bytes(self) -> int:
        """What the store holds now."""
