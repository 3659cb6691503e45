"""Byte locks by which QEMU says what it does with an image, read and spoken by us too.

QEMU holds a shared OFD lock on byte 100 + p for each permission p it uses and on
200 + p for each it does not share with others (block/file-posix.c, "raw_apply_lock_bytes").
So an image that a machine runs on is noticed before a torn copy is made of it, and
no machine starts from a disk that we are still writing.
"""

from __future__ import annotations

import fcntl
import os
import struct

from bascule.model.errors import Refused

_FLOCK = struct.Struct("hhqqi4x")
_READ, _WRITE, _RESIZE = 0, 1, 3
_USED, _UNSHARED = 100, 200


def refuse_if_written(fd: int, name: str) -> None:
    """Refuse a disk that somebody writes, or that somebody lets nobody read."""
    if _is_held(fd, _USED + _WRITE) or _is_held(fd, _UNSHARED + _READ):
        raise Refused(
            f"{name} is in use: a running machine or an NBD server writes it",
            cure="stop the machine, or copy from its NBD export instead of the file",
        )


def claim_for_writing(fd: int, name: str) -> None:
    """Refuse a disk that anybody uses through QEMU, and keep QEMU from using it while ``fd`` is open."""
    if any(_is_held(fd, base + p) for base in (_USED, _UNSHARED) for p in (_READ, _WRITE, _RESIZE)):
        raise Refused(
            f"{name} is in use: a running machine or an NBD server has it open",
            cure="stop the machine, or choose another disk to write to",
        )
    for byte in (_USED + _WRITE, _UNSHARED + _READ, _UNSHARED + _WRITE, _UNSHARED + _RESIZE):
        _set(fd, fcntl.F_RDLCK, byte)


def _is_held(fd: int, byte: int) -> bool:
    """Ask whether a write lock on ``byte`` would collide with a lock of another descriptor."""
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except OSError:
        return False  # A file system without locks: QEMU could not have said anything either.
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _set(fd: int, kind: int, byte: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except OSError:
        return  # As above: without locks there is nothing to say it with.
