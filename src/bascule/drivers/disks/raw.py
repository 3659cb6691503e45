"""Raw disks: plain files and block devices.

Reads go through the page cache unless asked otherwise. Writes go around it: on a
new file O_DIRECT costs half the CPU of buffered writes and an fsync, and leaves the
cache to others. What is not aligned takes a detour through an aligned buffer of the
thread; the last bytes of a disk of an odd size are written through the cache.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from bascule.blocks.extents import Extent
from bascule.blocks.memory import aligned
from bascule.blocks.zeroes import address_of
from bascule.model.errors import Damaged, Exists, Refused

from .claims import claim_for_writing, refuse_if_written
from .devices import STABLE, device_size, open_exclusively
from .faults import check_range, fault, translated
from .holes.files import data_extents, zero_device, zero_file

ALIGNMENT = 4096
_BOUNCE = 1 << 20

Existing = Literal["refuse", "replace", "update"]
"""What to do with a disk that is there: refuse it, empty it first, or write into it as it is."""


class RawSource:
    """A file or block device, read as it is. Nobody may write it meanwhile."""

    is_delta = False
    is_near = True

    def __init__(self, path: str | Path, *, direct: bool = False) -> None:
        self._name = str(path)
        with translated(f"open {path}"):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._is_device = _is_device(self._fd, self._name)
            refuse_if_written(self._fd, self._name)
            self.size_bytes = device_size(self._fd)
            self._direct = _open_direct(self._fd, os.O_RDONLY) if direct else -1
        except BaseException:
            os.close(self._fd)
            raise

    def extents(self) -> Iterator[Extent]:
        """Yield what lies outside the holes of the file; the whole of a device."""
        if self._is_device:
            return iter((Extent(0, self.size_bytes),) if self.size_bytes else ())
        return self._mapped()

    def expect(self, extents: Sequence[Extent]) -> None:
        """Have the system fetch what is read soon. It is advice: nothing of it can fail."""
        if self._direct < 0:
            with contextlib.suppress(OSError):
                for extent in extents:
                    os.posix_fadvise(self._fd, extent.offset, extent.length, os.POSIX_FADV_WILLNEED)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        check_range(self._name, self._fd >= 0, self.size_bytes, offset, len(buffer))
        aligned = _aligned_part(offset, buffer) if self._direct >= 0 else 0
        try:
            if aligned:
                self._fill(self._direct, offset, buffer[:aligned])
            if aligned < len(buffer):
                self._fill(self._fd, offset + aligned, buffer[aligned:])
        except OSError as error:
            raise fault(error, f"read {self._name} at {offset}") from error

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset; the system answers each at once."""
        for offset, buffer in pieces:
            self.read_into(offset, buffer)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._fd, self._direct = _close(self._fd), _close(self._direct)

    def _mapped(self) -> Iterator[Extent]:
        with translated(f"look for holes in {self._name}"):
            yield from data_extents(self._fd, self.size_bytes)

    def _fill(self, fd: int, offset: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            count = os.preadv(fd, [buffer[done:]], offset + done)
            if not count:
                raise Damaged(
                    f"{self._name} ends at {offset + done}, {self.size_bytes} bytes were there before",
                    cure="keep others from writing it during a copy",
                )
            done += count


class RawSink:
    """A file, sparse where it can be, or a block device. Several threads fill it; ``flush`` makes it last."""

    def __init__(
        self,
        path: str | Path,
        size: int,
        *,
        existing: Existing = "refuse",
        direct: bool = True,
        serial: str | None = None,
        stable: tuple[Path, ...] = STABLE,
    ) -> None:
        self._path = Path(path)
        self.size_bytes = size
        self._is_device = _names_a_device(self._path)
        self.is_zeroed = not self._is_device and existing != "update"
        if self._is_device:
            self._fd = _open_device(self._path, existing, serial, stable)
        else:
            self._fd = _open_file(self._path, existing)
        try:
            self._prepare(existing)
            self._direct = _open_direct(self._fd, os.O_WRONLY) if direct else -1
        except BaseException:
            os.close(self._fd)
            if existing == "refuse":
                self._path.unlink(missing_ok=True)
            raise
        self._bounces = threading.local()

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data`` at ``offset``. Thread-safe for ranges that do not overlap."""
        check_range(self._name, self._fd >= 0, self.size_bytes, offset, len(data))
        try:
            done = self._write_direct(offset, data) if self._direct >= 0 else 0
            if done < len(data):
                _put(self._fd, offset + done, data[done:])
        except OSError as error:
            raise fault(error, f"write {self._name} at {offset}") from error

    def zero(self, extent: Extent) -> None:
        """Punch a hole, or have the device unmap the range; write zeroes only where neither is possible."""
        check_range(self._name, self._fd >= 0, self.size_bytes, extent.offset, extent.length)
        if not extent.length:
            return
        with translated(f"zero {self._name} at {extent.offset}"):
            (zero_device if self._is_device else zero_file)(self._fd, extent)

    def flush(self) -> None:
        """Return when all that was written survives a power cut."""
        check_range(self._name, self._fd >= 0, self.size_bytes, 0, 0)
        with translated(f"flush {self._name}"):
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file without promising durability; safe to call twice."""
        self._fd, self._direct = _close(self._fd), _close(self._direct)

    @property
    def _name(self) -> str:
        return str(self._path)

    def _prepare(self, existing: Existing) -> None:
        with translated(f"prepare {self._path} for {self.size_bytes} bytes"):
            claim_for_writing(self._fd, self._name)
            if not self._is_device and existing != "update":
                os.ftruncate(self._fd, 0)
                os.ftruncate(self._fd, self.size_bytes)
                make_name_durable(self._path)
            found = device_size(self._fd)
        if found != self.size_bytes:
            raise Refused(
                f"{self._path} has {found} bytes, the disk to write has {self.size_bytes}",
                cure="choose a target of exactly the same size",
            )

    def _write_direct(self, offset: int, data: memoryview) -> int:
        """Write whole pages around the cache and return the bytes done: all but an odd tail."""
        if offset % ALIGNMENT:
            return 0
        whole = len(data) // ALIGNMENT * ALIGNMENT
        if whole and address_of(data) % ALIGNMENT == 0:
            _put(self._direct, offset, data[:whole])
            return whole
        for at in range(0, whole, _BOUNCE):
            piece = data[at : min(at + _BOUNCE, whole)]
            bounce = self._bounce()[: len(piece)]
            bounce[:] = piece
            _put(self._direct, offset + at, bounce)
        return whole

    def _bounce(self) -> memoryview:
        buffer: memoryview | None = getattr(self._bounces, "buffer", None)
        if buffer is None:
            buffer = self._bounces.buffer = aligned(_BOUNCE)
        return buffer


def _is_device(fd: int, name: str) -> bool:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise Refused(f"{name} is neither a file nor a block device", cure="name a disk")
    return stat.S_ISBLK(mode)


def _names_a_device(path: Path) -> bool:
    """Tell files from devices; what is not there yet will be a file."""
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise fault(error, f"look at {path}") from error


def _open_device(path: Path, existing: Existing, serial: str | None, stable: tuple[Path, ...]) -> int:
    if existing == "refuse":
        raise Exists(f"{path} is a device, and whatever it holds would be lost", cure="ask to replace it")
    return open_exclusively(path, serial, stable)


def _open_file(path: Path, existing: Existing) -> int:
    flags = {"refuse": os.O_CREAT | os.O_EXCL, "replace": os.O_CREAT, "update": 0}[existing]
    with translated(f"{'open' if existing == 'update' else 'create'} {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        _is_device(fd, str(path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_direct(fd: int, mode: int) -> int:
    """Open the same file once more around the page cache; -1 where its file system cannot."""
    with contextlib.suppress(OSError):
        return os.open(f"/proc/self/fd/{fd}", mode | os.O_DIRECT | os.O_CLOEXEC)
    return -1


def _aligned_part(offset: int, buffer: memoryview) -> int:
    if offset % ALIGNMENT or address_of(buffer) % ALIGNMENT:
        return 0
    return len(buffer) // ALIGNMENT * ALIGNMENT


def _put(fd: int, offset: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def make_name_durable(path: Path) -> None:
    """A file that is not in its folder after a power cut was never written."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _close(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1
