"""Stand-ins for ``os`` under a local store: one writes down, one breaks, one dies."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable

CHANGING = {"mkdir", "rmdir", "unlink", "link", "fsync", "pwrite", "open", "close"}


class Recorder:
    """Does what ``os`` does, and keeps a journal with paths instead of descriptors."""

    def __init__(self) -> None:
        self.journal: list[tuple[object, ...]] = []
        self._paths: dict[int | None, str] = {}

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        fd = os.open(path, flags, mode, dir_fd=dir_fd)
        self._paths[fd] = self._at(path, dir_fd)
        if flags & os.O_CREAT:
            self.journal.append(("make", self._paths[fd]))
        return fd

    def close(self, fd):
        self._paths.pop(fd, None)
        os.close(fd)

    def fsync(self, fd):
        os.fsync(fd)
        self.journal.append(("fsync", self._at("", fd)))

    def pwrite(self, fd, data, offset):
        direct = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        self.journal.append(("write", self._at("", fd), offset, len(data), direct))
        return os.pwrite(fd, data, offset)

    def preadv(self, fd, buffers, offset):
        direct = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        self.journal.append(("read", self._at("", fd), offset, sum(map(len, buffers)), direct))
        return os.preadv(fd, buffers, offset)

    def fstat(self, fd):
        return os.fstat(fd)

    def mkdir(self, path, mode=0o777, *, dir_fd=None):
        os.mkdir(path, mode, dir_fd=dir_fd)
        self.journal.append(("mkdir", self._at(path, dir_fd)))

    def rmdir(self, path, *, dir_fd=None):
        os.rmdir(path, dir_fd=dir_fd)
        self.journal.append(("rmdir", self._at(path, dir_fd)))

    def unlink(self, path, *, dir_fd=None):
        os.unlink(path, dir_fd=dir_fd)
        self.journal.append(("unlink", self._at(path, dir_fd)))

    def link(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None):
        os.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.journal.append(("link", self._at(src, src_dir_fd), self._at(dst, dst_dir_fd)))

    def _at(self, path, dir_fd):
        # A descriptor that was not opened here is the root of the store.
        return "/".join(filter(None, (self._paths.get(dir_fd, ""), path)))


class Breaking:
    """Calls ``strike`` instead of the ``at``-th call that changes something."""

    def __init__(self, at: int, strike: Callable[..., object], only: str = "") -> None:
        self._left = at
        self._strike = strike
        self._only = only
        self.struck = False

    def __getattr__(self, name):
        real = getattr(os, name)
        counted = name == self._only if self._only else name in CHANGING
        if not counted:
            return real

        def call(*args, **kwargs):
            self._left -= 1
            if self._left:
                return real(*args, **kwargs)
            self.struck = True
            return self._strike(name, real, *args, **kwargs)

        return call


def failing(at: int, number: int = errno.EIO, only: str = "") -> Breaking:
    """Fail the ``at``-th call, and do nothing of it; a close does close."""

    def strike(name, real, *args, **kwargs):
        if name == "close":
            real(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    return Breaking(at, strike, only)


def dying(at: int, half: bool) -> Breaking:
    """Kill this process before the ``at``-th call; with ``half``, in the middle of it if it is a write."""

    def strike(name, real, *args, **kwargs):
        if half and name == "pwrite":
            fd, data, offset = args
            real(fd, data[: len(data) // 8192 * 4096 or len(data) // 2], offset)
        elif half:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    return Breaking(at, strike)
