"""Files of one folder, and the few operations on them whose order makes things durable.

Overlay, hydration and the folder's state touch the disk through ``Folder`` and
``File`` only, so tests count these operations, kill the process at each, and take
away what a power cut may take: everything written since the last ``sync`` of that
file, in any order, sector by sector; names made since the last ``sync`` of the
folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from bascule.blocks.extents import Extent
from bascule.model.errors import BasculeError, Refused, Unavailable

Buffer = bytes | bytearray | memoryview

_LOCK = "lock"
_PEEK = 64 << 10
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_KEEP_SIZE_PUNCH_HOLE = 1 | 2


class File(Protocol):
    """A sparse file. Thread-safe; errors are Unavailable or Refused and name the file."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; what lies past the end reads as zeroes."""

    def is_cached(self, offset: int, length: int) -> bool:
        """Tell whether ``read`` would return without waiting for a disk; False when in doubt."""

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``: seen by readers at once, durable after ``sync``."""

    def punch(self, offset: int, length: int) -> None:
        """Make a range read as zeroes and give its space back, where the file system can."""

    def resize(self, size: int) -> None:
        """Cut or extend with a hole."""

    def size(self) -> int:
        """Return the length in bytes."""

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it may hold other bytes than zeroes."""

    def sync(self) -> None:
        """Return when everything written survives a power cut. After an error nothing is certain."""

    def close(self) -> None:
        """Release the descriptor; safe to call twice."""


class Folder(Protocol):
    """A folder that one process owns."""

    @property
    def name(self) -> str:
        """Return what to call it in messages."""

    def lock(self) -> None:
        """Own the folder until ``close`` or death, or raise Refused if another process does."""

    def open(self, name: str) -> File:
        """Open a file, making it if it is absent; a new name is durable after ``sync``."""

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""

    def replace(self, source: str, target: str) -> None:
        """Rename over ``target``, atomically; durable after ``sync``."""

    def remove(self, name: str) -> None:
        """Remove a file; absent is fine."""

    def sync(self) -> None:
        """Return when the folder's names survive a power cut."""

    def close(self) -> None:
        """Give up the lock and the descriptor; safe to call twice."""


class LocalFile:
    """``File`` on a file system of this machine."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def read(self, offset: int, length: int) -> bytes:
        # Guests wait for this one: a bare try costs nothing, a context manager a microsecond.
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    return data + bytes(length - len(data))
                data += more
        except OSError as error:
            raise _explain(error, "reading", self._path) from error
        return data

    def is_cached(self, offset: int, length: int) -> bool:
        # Copying it out is the only way to ask; for more than this a thread's turn is cheaper.
        if length > _PEEK:
            return False
        try:
            return os.preadv(self._fd, [bytearray(length)], offset, os.RWF_NOWAIT) == length
        except OSError:
            return False

    def write(self, offset: int, data: Buffer) -> None:
        try:
            done = os.pwrite(self._fd, data, offset)
            while done < len(data):
                done += os.pwrite(self._fd, memoryview(data)[done:], offset + done)
        except OSError as error:
            raise _explain(error, "writing", self._path) from error

    def punch(self, offset: int, length: int) -> None:
        code = _punch(self._fd, offset, length)
        if code == errno.EOPNOTSUPP:
            zeroes = bytes(min(length, 1 << 20))
            for at in range(offset, offset + length, len(zeroes)):
                self.write(at, zeroes[: offset + length - at])
        elif code:
            raise _explain(OSError(code, os.strerror(code)), "giving back space of", self._path)

    def resize(self, size: int) -> None:
        with _explained("resizing", self._path):
            os.ftruncate(self._fd, size)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        at, end = offset, offset + length
        while at < end:
            start = min(self._seek(at, os.SEEK_DATA, end), end)
            if start > at:
                yield Extent(at, start - at), False
            if start == end:
                return
            at = min(self._seek(start, os.SEEK_HOLE, end), end)
            yield Extent(start, at - start), True

    def _seek(self, offset: int, how: int, end: int) -> int:
        try:
            return os.lseek(self._fd, offset, how)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return end
            raise _explain(error, "seeking in", self._path) from error

    def sync(self) -> None:
        with _explained("syncing", self._path):
            os.fdatasync(self._fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class LocalFolder:
    """``Folder`` on a file system of this machine; made, durably, if it is absent."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        with _explained("opening", str(self._path)):
            make_durably(self._path)
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        self._owned = -1

    @property
    def name(self) -> str:
        return str(self._path)

    def lock(self) -> None:
        with _explained("locking", self.name):
            fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise Refused(
                f"{self.name} is in use by another process ({owner or 'unknown'})",
                cure="stop that process, or let it serve this machine",
                code="in-use",
            ) from error
        # Only for the message above; the lock itself is the kernel's, and dies with the process.
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}\n".encode(), 0)
        self._owned = fd

    def open(self, name: str) -> LocalFile:
        with _explained("opening", f"{self.name}/{name}"):
            fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._fd)
        return LocalFile(fd, f"{self.name}/{name}")

    def exists(self, name: str) -> bool:
        return (self._path / name).exists()

    def replace(self, source: str, target: str) -> None:
        with _explained("renaming", f"{self.name}/{source}"):
            os.replace(source, target, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, name: str) -> None:
        with _explained("removing", f"{self.name}/{name}"), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def sync(self) -> None:
        with _explained("syncing", self.name):
            os.fsync(self._fd)

    def close(self) -> None:
        for fd in (self._owned, self._fd):
            if fd >= 0:
                os.close(fd)
        self._owned = self._fd = -1


def _punch(fd: int, offset: int, length: int) -> int:
    """Call fallocate(2), which Python offers without its modes; return the error, 0 for none."""
    # Loading ctypes takes longer than serving a small disk does, and most overlays never need it.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return ctypes.get_errno() if libc.fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, offset, length) else 0


def make_durably(path: Path) -> None:
    """Make a folder and its parents so that their names survive a power cut.

    Others may pass, for a hypervisor's user reaches a socket in there, but not look; files are their owner's.
    """
    if path.is_dir():
        return
    make_durably(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o711)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _explain(error: OSError, deed: str, path: str) -> BasculeError:
    """Say what to do. ``no-room`` is only ever about bytes not taken, never about bytes lost by a sync."""
    said = f"{deed} {path}: {error.strerror}"
    if error.errno in _NO_ROOM and deed != "syncing":
        return Unavailable(said, cure="free space there, then let the guest go on", code="no-room")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return Refused(said, cure="let this user read and write there, or choose another folder")
    return Unavailable(said, cure="see whether that disk is mounted and well", code="local-disk")


@contextmanager
def _explained(deed: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explain(error, deed, path) from error
