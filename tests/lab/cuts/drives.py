"""File systems that stand still for an instant, or lose their power: what was not flushed is gone then.

A process that is killed leaves its writes in this machine's page cache. So what is to lose its power stands
on an ext4 of its own, in a file, which is told to shut down as it is: nothing more reaches the file, not
even its journal (what xfstests do to prove that a file system survives).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
_NUMBERS = itertools.count(1)
# Nobody writes out for us what only a flush may.
_LAZY = "loop,commit=600,noauto_da_alloc"


class Drive:
    """An ext4 in a file, mounted at a folder."""

    def __init__(self, image: Path, mount: Path) -> None:
        self._image = image
        self.mount = mount
        mount.mkdir()
        self.attach()

    @classmethod
    def new(cls, image: Path, mount: Path, size_bytes: int) -> Drive:
        """Make an empty one."""
        with image.open("wb") as stream:
            stream.truncate(size_bytes)
        _tool("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(image))
        return cls(image, mount)

    def attach(self) -> None:
        """Mount it."""
        _tool("mount", "-o", _LAZY, str(self._image), str(self.mount))

    def flush(self) -> None:
        """Make all that was written so far durable."""
        _tool("sync", "-f", str(self.mount))

    def cut(self) -> None:
        """Take its power away; what the page cache holds can be looked at until it is left."""
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(folder)

    def exchange(self) -> None:
        """Mount a copy of what was durable at a cut, whoever still holds this one.

        That may be a process of somebody else, in a mount namespace that was made while this was mounted:
        the file system lives for as long as that one, so nobody waits for its end.
        """
        self.leave()
        fresh = self._image.with_suffix(f".{next(_NUMBERS)}")
        _tool("cp", "--sparse=always", str(self._image), str(fresh))
        self._image.unlink()
        self._image = fresh
        self.attach()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Freeze the file system for as long as the block takes, as an agent does for an instant."""
        _tool("fsfreeze", "--freeze", str(self.mount))
        try:
            yield
        finally:
            _tool("fsfreeze", "--unfreeze", str(self.mount))

    def copied(self, image: Path, mount: Path) -> Drive:
        """Return another drive with what this one holds, which nobody writes to meanwhile."""
        _tool("cp", "--sparse=always", str(self._image), str(image))
        return Drive(image, mount)

    def leave(self) -> None:
        """Unmount it; who has files of it open goes on."""
        _tool("umount", "--lazy", str(self.mount))


def written(folder: Path) -> int:
    """Return the bytes of all files in a folder in which others write and remove."""
    found = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                found += Path(path, name).stat().st_size
            except FileNotFoundError:
                continue
    return found


def _tool(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
