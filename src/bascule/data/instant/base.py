"""What lies below an overlay: a disk that is only read, and may take its time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from bascule.blocks.extents import Extent

Part = tuple[int, memoryview | None]
"""A stretch of a disk: its length, and its bytes, or None for zeroes."""


class Base(Protocol):
    """A disk frozen in time. Thread-safe.

    Raises Unavailable when its store does not answer (and has been waited for long
    enough), Damaged when bytes are not what was written.
    """

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> list[Part]:
        """Return the bytes of a range, as parts in disk order."""

    def is_ready(self, offset: int, length: int) -> bool:
        """Tell whether ``read`` would answer at once, from memory."""

    def read_soon(self, offset: int, length: int) -> list[Part] | None:
        """Return what ``read`` would, or None where that may take long."""

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        """Yield ranges that cover what was asked, each with whether it may hold other bytes than zeroes."""


def joined(parts: list[Part]) -> bytes:
    """Return parts as one string of bytes."""
    return b"".join(bytes(length) if data is None else data for length, data in parts)
