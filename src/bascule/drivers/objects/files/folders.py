"""Folders whose own existence survives a power cut.

A new object is durable only if every folder above it is. The proof holds a
descriptor of the folder, opened *before* its entry in the parent was synced: a
link made through that descriptor fails once the folder was removed, even if
another one of the same name was made since. So as long as links succeed, the
chain of entries that was synced at the opening is the chain that is there, and
anybody may remove empty folders at any time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bascule.model.errors import Refused

from .handles import Handles
from .system import System

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KEPT = 64


class Folders:
    """Leases descriptors of durable folders below ``root``; ``""`` is the root itself."""

    def __init__(self, system: System, root: int) -> None:
        self._system = system
        self._root = root
        self._handles = Handles(self._open, system.close, _KEPT)

    @contextmanager
    def lease(self, folder: str) -> Iterator[int]:
        """Make ``folder`` with all its parents durable and give its descriptor."""
        if not folder:
            yield self._root
            return
        with self._handles.lease(folder) as fd:
            yield fd

    def drop(self, folder: str) -> None:
        """Forget a folder that was found to be removed."""
        self._handles.drop(folder)

    def sync(self, folder: str) -> None:
        """Make what was unlinked in ``folder`` durable; a folder that is gone took it along."""
        try:
            fd = self._system.open(folder or ".", _FOLDER, dir_fd=self._root)
        except FileNotFoundError:
            return
        try:
            self._system.fsync(fd)
        finally:
            self._system.close(fd)

    def prune(self, folder: str) -> None:
        """Remove ``folder`` and its parents as far as they are empty."""
        while folder:
            try:
                self._system.rmdir(folder, dir_fd=self._root)
            except OSError:
                return  # Not empty, gone already, or not ours to remove: an empty folder costs nothing.
            self.drop(folder)
            folder = folder.rpartition("/")[0]

    def close(self) -> None:
        """Close what is not leased."""
        self._handles.close()

    def _open(self, folder: str) -> int:
        parent = self._root
        for segment in folder.split("/"):
            try:
                child = self._enter(parent, segment)
            finally:
                if parent != self._root:
                    self._system.close(parent)
            parent = child
        return parent

    def _enter(self, parent: int, segment: str) -> int:
        with suppress(FileExistsError):
            self._system.mkdir(segment, 0o700, dir_fd=parent)
        try:
            child = self._system.open(segment, _FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                cure = "an object's name cannot go on below another object's name"
                raise Refused(f"{segment!r} is not a folder", cure=cure) from error
            raise
        try:
            self._system.fsync(parent)
        except OSError:
            self._system.close(child)
            raise
        return child
