"""List objects below a folder in the order of their whole names, one folder at a time.

A folder takes its place among its siblings with its slash (``a-b`` < ``a/c`` <
``a0``), so that depth first is name order. Only what is yielded is stat-ed.

Folders are read one after the other, and others create and delete meanwhile. What is
there all the time is found; and the first find was the first of all at one moment,
which a log's readers rely upon (its first is its newest entry, and there always is
one). So before it is told, the folders that were read before its own are read again.
Had something come before the find when the find's folder was read, it could stay
unseen in such a round only by moving on, to a still earlier place and between two
looks, out of one of the folders that held nothing into another. There are as many
rounds as folders, so in one of them it has nowhere left to move.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from bascule.model.errors import Unavailable
from bascule.ports.objects import ObjectInfo

from ..names import is_name
from .system import explained

NO_SUCH = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_TRIES = 100


def walk(root: int, shown: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
    """Yield objects that start with ``prefix`` and sort after ``after``; ``shown`` is the root in errors."""
    for _ in range(_TRIES):
        walked = _Walk(root, shown, (prefix, after))
        found = walked.below(prefix[: prefix.rfind("/") + 1])
        first = next(found, None)
        if walked.is_still_so():
            break
    else:
        raise Unavailable(f"{shown}/{prefix}: its folders change too fast to be listed")
    if first is not None:
        yield first
        yield from found


def look(root: int, name: str) -> ObjectInfo | None:
    """Describe one object, if it is there; raise OSError."""
    try:
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
    except NO_SUCH:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return ObjectInfo(name, found.st_size, found.st_mtime)


class _Walk:
    """One walk, which notes the folders that it read up to its first find."""

    def __init__(self, root: int, shown: str, wanted: tuple[str, str]) -> None:
        self._root = root
        self._shown = shown
        self._wanted = wanted
        self._trail: list[tuple[str, list[str]]] = []
        self._is_searching = True

    def below(self, folder: str) -> Iterator[ObjectInfo]:
        """Yield the objects of a folder and of those below it."""
        paths = self._read(folder)
        self._note(folder, paths)
        for path in paths:
            if path.endswith("/"):
                yield from self.below(path)
                continue
            with explained(f"looking at {self._shown}/{path}"):
                found = look(self._root, path)
            if found is None:
                self._note(folder, paths)  # to be read again: it is foreign, or was deleted just now
                continue
            self._is_searching = False
            yield found

    def _note(self, folder: str, paths: list[str]) -> None:
        if self._is_searching:
            self._trail.append((folder, paths))

    def _read(self, folder: str) -> list[str]:
        with explained(f"listing {self._shown}/{folder}"):
            return sorted(path for path in _paths(self._root, folder) if _is_wanted(path, *self._wanted))

    def is_still_so(self) -> bool:
        """Tell whether the first find, now that it is made, was the first of all when its folder was read."""
        before = self._trail[-2::-1]
        rounds = before * len(before)
        return all(self._read(folder) == paths for folder, paths in rounds)


def _is_wanted(path: str, prefix: str, after: str) -> bool:
    if path.endswith("/"):
        return (path.startswith(prefix) or prefix.startswith(path)) and (
            path > after or after.startswith(path)
        )
    return path.startswith(prefix) and path > after


def _paths(root: int, folder: str) -> Iterator[str]:
    """Yield what is in a folder, sub-folders with a slash; none if it is gone."""
    try:
        fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    except NO_SUCH:
        return
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                # Ours, or of the file system (lost+found), or of somebody else.
                if is_name(entry.name):
                    yield folder + entry.name + "/" * entry.is_dir(follow_symlinks=False)
    finally:
        os.close(fd)
