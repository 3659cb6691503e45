"""A disk as the NBD server wants it: read-only over a base, or writable over an overlay.

Besides ``base:allocation`` a writable export tells what its guest wrote, as a dirty bitmap
named ``written``: any client that follows bitmaps can fetch a failback's delta from it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bascule.wire.nbd.protocol.constants import BASE_ALLOCATION, STATE_HOLE, STATE_ZERO

from .base import Base, Part
from .courtesy import Traffic

if TYPE_CHECKING:
    from .overlay import Overlay

WRITTEN = "qemu:dirty-bitmap:written"
_DIRTY = 1
_SECTOR = 4096


class ReadOnlyExport:
    """A base, served."""

    read_only = True
    minimum_block = 1
    preferred_block = _SECTOR
    contexts: Sequence[str] = (BASE_ALLOCATION,)

    def __init__(self, base: Base, traffic: Traffic) -> None:
        self._base = base
        self._traffic = traffic
        self.size_bytes = base.size_bytes

    def is_ready(self, offset: int, length: int) -> bool:
        """See Export."""
        self._traffic.asked += 1
        return self._base.is_ready(offset, length)

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """See Export."""
        return self._base.read_soon(offset, length)

    def read(self, offset: int, length: int) -> list[Part]:
        """See Export."""
        self._traffic.asked += 1
        return self._base.read(offset, length)

    def extents(self, _context: str, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """See Export."""
        for extent, data in self._base.extents(offset, length):
            yield extent.length, 0 if data else STATE_HOLE | STATE_ZERO

    def write(self, *_: object) -> None:
        """Never called: the server refuses changes of what is read-only."""
        raise PermissionError(errno.EROFS, "a recovery point is read-only")

    zero = trim = write

    def flush(self) -> None:
        """There is nothing to flush."""


class WritableExport:
    """An overlay, served."""

    read_only = False
    minimum_block = 1
    preferred_block = _SECTOR
    contexts: Sequence[str] = (BASE_ALLOCATION, WRITTEN)

    def __init__(self, overlay: Overlay, traffic: Traffic) -> None:
        self._overlay = overlay
        self._traffic = traffic
        self.size_bytes = overlay.size_bytes

    def is_ready(self, offset: int, length: int) -> bool:
        """See Export."""
        self._traffic.asked += 1
        return self._overlay.is_ready(offset, length)

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """See Export."""
        return self._overlay.read_soon(offset, length)

    def read(self, offset: int, length: int) -> list[Part]:
        """See Export."""
        self._traffic.asked += 1
        return self._overlay.read(offset, length)

    def extents(self, context: str, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """See Export."""
        if context == WRITTEN:
            for extent, changed in self._overlay.changed(offset, length):
                yield extent.length, _DIRTY if changed else 0
            return
        for extent, data in self._overlay.extents(offset, length):
            yield extent.length, 0 if data else STATE_HOLE | STATE_ZERO

    def write(self, offset: int, data: memoryview) -> None:
        """See Export."""
        self._traffic.asked += 1
        self._overlay.write(offset, data)

    def zero(self, offset: int, length: int, may_trim: bool) -> None:
        """See Export. Without leave to trim the zeroes are stored, so that their room is taken now."""
        if may_trim:
            self._overlay.zero(offset, length)
        else:
            self._store_zeroes(offset, length)

    def _store_zeroes(self, offset: int, length: int) -> None:
        zeroes = memoryview(bytes(min(length, 1 << 20)))
        for at in range(offset, offset + length, len(zeroes)):
            self._overlay.write(at, zeroes[: offset + length - at])

    def trim(self, offset: int, length: int) -> None:
        """See Export."""
        self._overlay.trim(offset, length)

    def flush(self) -> None:
        """See Export."""
        self._traffic.asked += 1
        self._overlay.flush()
