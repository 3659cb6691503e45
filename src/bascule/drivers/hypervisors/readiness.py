"""Wait until descriptors can be read or written.

By ``poll``: ``select`` cannot name descriptors from 1,024 on, which a provider of some hundred machines has.
"""

from __future__ import annotations

import errno
import math
import os
import select
from collections.abc import Iterable
from typing import Protocol


class Open(Protocol):
    """What has a descriptor: a socket, a pipe."""

    def fileno(self) -> int: ...


def ready(
    seconds: float | None, reading: Iterable[int | Open] = (), writing: Iterable[int | Open] = ()
) -> frozenset[int]:
    """Return the descriptors on which a read or write would not wait, once there are any or the time is over.

    A peer that is gone is read from and written to without a wait. ``None`` waits for ever.
    """
    wanted: dict[int, int] = {}
    for mask, sides in ((select.POLLIN, reading), (select.POLLOUT, writing)):
        for side in sides:
            number = side if isinstance(side, int) else side.fileno()
            wanted[number] = wanted.get(number, 0) | mask
    poller = select.poll()
    for number, mask in wanted.items():
        poller.register(number, mask)
    found = dict(poller.poll(None if seconds is None else math.ceil(seconds * 1000)))
    for number, seen in found.items():
        if seen & select.POLLNVAL:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(number))
    return frozenset(found)
