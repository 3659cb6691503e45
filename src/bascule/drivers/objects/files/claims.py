"""Temporary files, and how it is known that nobody uses them any more.

They live in one folder of the store's root whose name no object can have.
Each open store that writes holds a *claim* there: a file ``PID.N.lock``, created
by O_EXCL and kept under an exclusive flock as long as the store is open; the
kernel drops the lock when the process dies, however it dies. The files written
under the claim are called ``PID.N.C``.

A claim's file is there before the first temporary file of its name, and stays
until the last one is gone. So for a temporary file that was seen, "no claim file"
and "claim file not locked" both mean that its writer is dead, and its files may
be removed; a locked claim means hands off. A cleaner may get hold of a claim in
the instant between its creation and its lock; the owner notices that the file it
locked was unlinked, and claims again.

flock works across the machines that mount one NFS export (since Linux 2.6.12).
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import threading
from contextlib import suppress

from bascule.model.errors import Refused

from .system import explain, explained

FOLDER = "+incoming"
_LOCK = ".lock"


class Claim:
    """Names for temporary files that only this store uses, taken at the first write."""

    def __init__(self, root: int, path: str) -> None:
        self._root = root
        self._path = path
        self._guard = threading.Lock()
        self._count = itertools.count(1)
        self._name = ""
        self._fd = -1

    def next_path(self) -> str:
        """Return a path, relative to the root, that nobody else will use."""
        with self._guard:
            if self._fd < 0:
                with explained(f"claiming {self._path}/{FOLDER}"):
                    self._name, self._fd = _claim(self._root, self._path)
        return f"{FOLDER}/{self._name}.{next(self._count)}"

    def close(self) -> None:
        """Give the claim back; safe to call twice."""
        with self._guard:
            if self._fd >= 0:
                with suppress(OSError):  # Unlocked, it means as much as unlinked.
                    _unlink(f"{FOLDER}/{self._name}{_LOCK}", self._root)
                os.close(self._fd)
                self._fd = -1


def clean_up(root: int) -> int:
    """Remove the temporary files of dead writers; return how many."""
    removed = 0
    owners: dict[str, int] = {}
    try:
        for name in _entries(root):
            owner = name.rpartition(".")[0]
            if owner not in owners:
                owners[owner] = _take_over(owner, root)
            if owners[owner] != _ALIVE and not name.endswith(_LOCK):
                removed += _unlink(f"{FOLDER}/{name}", root)
    finally:
        # The claim goes last: until here it said whose the files were.
        for owner, fd in owners.items():
            if fd >= 0:
                _unlink(f"{FOLDER}/{owner}{_LOCK}", root)
                os.close(fd)
    return removed


_ALIVE, _GONE = -1, -2


def _claim(root: int, path: str) -> tuple[str, int]:
    with suppress(FileExistsError):
        os.mkdir(FOLDER, 0o700, dir_fd=root)
    _check_case(root, path)
    for attempt in itertools.count():
        name = f"{os.getpid()}.{attempt}"
        try:
            fd = os.open(f"{FOLDER}/{name}{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root)
        except FileExistsError:
            continue
        if _lock(fd, path) and os.fstat(fd).st_nlink:
            return name, fd
        os.close(fd)
    raise AssertionError("unreachable")


def _check_case(root: int, path: str) -> None:
    with suppress(FileNotFoundError):
        os.stat(FOLDER.upper(), dir_fd=root)
        cure = "put the store on a file system that does, such as ext4 or XFS as they come"
        raise Refused(f"{path} does not tell upper case from lower case", cure=cure)


def _lock(fd: int, path: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            cure = "put the store on a file system with locks, or mount this one with them"
            raise Refused(f"{path} does not lock files: {error.strerror}", cure=cure) from error
        raise explain(error, f"locking in {path}/{FOLDER}") from error
    return True


def _take_over(owner: str, root: int) -> int:
    """Lock a claim and return its descriptor, or say that its owner is alive, or gone with its claim."""
    try:
        fd = os.open(f"{FOLDER}/{owner}{_LOCK}", os.O_RDWR, dir_fd=root)
    except FileNotFoundError:
        return _GONE
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return _ALIVE
    return fd


def _entries(root: int) -> list[str]:
    try:
        fd = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    except FileNotFoundError:
        return []
    try:
        with os.scandir(fd) as entries:
            return sorted(entry.name for entry in entries)
    finally:
        os.close(fd)


def _unlink(path: str, root: int) -> bool:
    try:
        os.unlink(path, dir_fd=root)
    except FileNotFoundError:
        return False
    return True
