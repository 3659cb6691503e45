"""The system calls a local store makes, as a protocol that the ``os`` module keeps.

Durability is an order of these calls, so tests put a recorder, a failing disk or
a power cut in their place. Paths are relative to an open folder (``dir_fd``):
what happens to the path of the store's root afterwards does not matter.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from bascule.model.errors import BasculeError, Refused, Unavailable

Buffer = bytes | bytearray | memoryview


class System(Protocol):
    """The part of ``os`` that touches the store's files."""

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int: ...
    def close(self, fd: int) -> None: ...
    def fsync(self, fd: int) -> None: ...
    def pwrite(self, fd: int, data: Buffer, offset: int, /) -> int: ...
    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int: ...
    def fstat(self, fd: int) -> os.stat_result: ...
    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None: ...
    def rmdir(self, path: str, *, dir_fd: int | None = None) -> None: ...
    def unlink(self, path: str, *, dir_fd: int | None = None) -> None: ...
    def link(
        self, src: str, dst: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None: ...


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NO_HANDLES = {errno.EMFILE, errno.ENFILE}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def explain(error: OSError, what: str) -> BasculeError:
    """Turn an error of the system into one that says what to do; ``what`` names deed and path."""
    said = f"{what}: {error.strerror or error}"
    if error.errno in _NO_ROOM:
        return Unavailable(said, cure="free space or raise the quota there, then try again", code="no-room")
    if error.errno in _NO_HANDLES:
        return Unavailable(said, cure="raise the limit of open files (ulimit -n)")
    if error.errno in _NOT_ALLOWED:
        return Refused(said, cure="let this user read and write there, or choose another place")
    if error.errno == errno.EIO:
        return Unavailable(said, cure="the disk reports a fault: look into the kernel log before going on")
    return Unavailable(said, cure="see whether the disk is mounted and well, then try again")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Let nothing of the system's errors out but what ``explain`` makes of them."""
    try:
        yield
    except OSError as error:
        raise explain(error, what) from error
