"""The images of a running QEMU, and the fleeces beside them, as files of this host."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bascule.model.errors import Unavailable

_CLUSTER = 65536
_QCOW2 = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_L2_COVERS = _CLUSTER // 8 * _CLUSTER  # bytes of a disk


def write_empty_qcow2(path: Path, size_bytes: int, *, reserve: bool = True) -> None:
    """Make a qcow2 without data; ``reserve`` room for all that it may ever hold.

    Version 3, clusters of 64 KiB: the header, the refcount table, one block of refcounts, the L1 table.
    ``qemu-img create`` does the same and takes longer than all the rest of a cycle.
    """
    entries = -(-size_bytes // _L2_COVERS)
    table_clusters = max(-(-entries * 8 // _CLUSTER), 1)
    head = _QCOW2.pack(
        b"QFI\xfb",
        3,
        0,
        0,
        16,
        size_bytes,
        0,
        entries,
        3 * _CLUSTER,
        _CLUSTER,
        1,
        0,
        0,
        0,
        0,
        0,
        4,
        _QCOW2.size,
    )
    used = struct.pack(">H", 1) * (3 + table_clusters)
    # What is kept, an L2 table for each half GiB of it, and 2 bytes for the count of each cluster.
    room = (3 + table_clusters + entries + 1) * _CLUSTER + size_bytes + size_bytes // (_CLUSTER // 4)
    with open(path, "xb") as file:
        file.truncate((3 + table_clusters) * _CLUSTER)
        if reserve:
            os.posix_fallocate(file.fileno(), 0, room)
        for at, data in ((0, head), (_CLUSTER, struct.pack(">Q", 2 * _CLUSTER)), (2 * _CLUSTER, used)):
            os.pwrite(file.fileno(), data, at)


@contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """Say of an error of the host's files that the folder for fleeces is not fit, and what to do."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{folder} cannot take what the machine overwrites: {error.strerror}",
            cure="make room there, or name another folder",
        ) from error


_ROOM_LEAST, _ROOM_MOST = 64 << 20, 4 << 30


def check_room(folder: Path, sizes: Sequence[int]) -> None:
    """Raise Unavailable where a folder has no room for what guests usually overwrite while disks are copied.

    That is a sixteenth of a disk. Where there is no room for more, the instant is lost and not the guest.
    """
    needed = sum(min(size, max(_ROOM_LEAST, min(size >> 4, _ROOM_MOST))) for size in sizes)
    with told_of(folder):
        found = os.statvfs(folder)
    if (free := found.f_bavail * found.f_frsize) < needed:
        raise Unavailable(
            f"{folder} has {free >> 20} MiB left for what the machine overwrites; it may need {needed >> 20}",
            cure="make room there, or name another folder",
        )


class WriteBack:
    """Has the host write out what it holds of images, while they are being copied.

    QEMU flushes a disk when its filter is removed, and its guest stands still until that is
    done: half a second after 64 MiB of writes. What is on the disk by then costs nothing.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._threads = [threading.Thread(target=_write_out, args=(file,), daemon=True) for file in files]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until all is written."""
        for thread in self._threads:
            thread.join()


def _write_out(file: str) -> None:
    # A favour: where the image is no file of this host, or cannot be written, QEMU's own flush finds out.
    with suppress(OSError):
        handle = os.open(Path(file), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
