"""Find the holes of a file, and make new ones in files and block devices."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from bascule.blocks.extents import Extent

# Widest logical sector of a disk in use; device ranges not made of it are zeroed by writing.
SECTOR = 4096
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_BLKZEROOUT = 0x127F
_NOT_HERE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)
_ZEROES = bytes(1 << 20)

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def data_extents(fd: int, size: int) -> Iterator[Extent]:
    """Yield what a file holds outside its holes; all of it where the file system cannot tell."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # Only a hole is left.
                return
            if error.errno not in _NOT_HERE:
                raise
            start, at = at, size
        else:
            at = os.lseek(fd, start, os.SEEK_HOLE)
        if start < size:
            yield Extent(start, min(at, size) - start)


def zero_file(fd: int, extent: Extent) -> None:
    """Punch a hole; the kernel zeroes what is left of half-covered blocks."""
    if not _allocate(fd, _PUNCH_HOLE | _KEEP_SIZE, extent):
        _write_zeroes(fd, extent)


def zero_device(fd: int, extent: Extent) -> None:
    """Unmap where the device promises zeroes after it, else let it or the kernel write them.

    Never BLKDISCARD: what it leaves behind may be the old bytes.
    """
    low, high = -(-extent.offset // SECTOR) * SECTOR, extent.end // SECTOR * SECTOR
    if low >= high:
        _write_zeroes(fd, extent)
        return
    _write_zeroes(fd, Extent(extent.offset, low - extent.offset))
    inner = Extent(low, high - low)
    if not _allocate(fd, _PUNCH_HOLE | _KEEP_SIZE, inner) and not _zero_out(fd, inner):
        _write_zeroes(fd, inner)
    _write_zeroes(fd, Extent(high, extent.end - high))


def _allocate(fd: int, mode: int, extent: Extent) -> bool:
    if _fallocate(fd, mode, extent.offset, extent.length) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number))


def _zero_out(fd: int, extent: Extent) -> bool:
    try:
        fcntl.ioctl(fd, _BLKZEROOUT, struct.pack("QQ", extent.offset, extent.length))
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True


def _write_zeroes(fd: int, extent: Extent) -> None:
    at = extent.offset
    while at < extent.end:
        at += os.pwrite(fd, _ZEROES[: min(len(_ZEROES), extent.end - at)], at)
