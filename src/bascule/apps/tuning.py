"""How a process that serves disks to guests, or holds the lines of many hosts, uses interpreter and memory.

These are settings of the whole process, so only ``apps`` makes them: in a process that does other things
too, memory that is kept is memory that is missing.
"""

from __future__ import annotations

import sys

# A thread that waits for the interpreter gets it within this time; a guest would feel the usual 5 ms.
_SWITCH_SECONDS = 0.0005
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # as malloc.h has them
_KEPT_BYTES = 256 << 20  # more than the cache ever gives back
_MAPPED_FROM_BYTES = 32 << 20
_LINE_BYTES = 32 << 10


def serve_disks() -> None:
    """Hand the interpreter on soon, and keep freed memory for the next frame.

    To be called before there is a second thread. That costs a start 2 ms, and keeps a process below 256 MiB
    also where too many share its cores: with the arena that the listening thread had made, it took 315.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    _keep_memory()


def hold_many_lines() -> None:
    """Give each TLS connection of this process's event loops a buffer of 32 KiB instead of 256.

    A vault's door holds two lines of each host, which say a kilobyte now and then.
    """
    from asyncio import sslproto

    sslproto.SSLProtocol.max_size = _LINE_BYTES


def _keep_memory() -> None:
    """Let all threads allocate from what arenas there are now, and keep what is freed.

    With an arena for each thread, as the C library likes it, frames that one thread decoded
    and another threw out leave holes in all of them: 200 MiB instead of 150 while a disk is
    copied. And given back to the system, memory comes back as pages to be cleared: twice as
    many faults, a tenth of the time.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
