"""List objects below a folder in the order of their whole names, one folder at a time.

A folder takes its place among its siblings with its slash (``a-b`` < ``a/c`` <
``a0``), so that depth first is name order. Only what is yielded is stat-ed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from bascule.ports.objects import ObjectInfo

from ..names import is_name
from .system import explained

NO_SUCH = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def walk(root: int, shown: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
    """Yield objects that start with ``prefix`` and sort after ``after``; ``shown`` is the root in errors."""
    return _walk(root, shown, prefix[: prefix.rfind("/") + 1], (prefix, after))


def look(root: int, name: str) -> ObjectInfo | None:
    """Describe one object, if it is there; raise OSError."""
    try:
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
    except NO_SUCH:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return ObjectInfo(name, found.st_size, found.st_mtime)


def _walk(root: int, shown: str, folder: str, wanted: tuple[str, str]) -> Iterator[ObjectInfo]:
    with explained(f"listing {shown}/{folder}"):
        paths = sorted(path for path in _paths(root, folder) if _is_wanted(path, *wanted))
    for path in paths:
        if path.endswith("/"):
            yield from _walk(root, shown, path, wanted)
            continue
        with explained(f"looking at {shown}/{path}"):
            found = look(root, path)
        if found is not None:
            yield found


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
