"""A disk to read from, and a disk to write to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from bascule.blocks.extents import Extent


class DiskSource(Protocol):
    """One disk, frozen in time.

    Methods may be called from several threads. Implementations raise Unavailable
    when the other side does not answer, Refused when what is asked for is unknown,
    Damaged when it answers wrongly. Nothing else leaves them.
    """

    @property
    def size_bytes(self) -> int: ...

    @property
    def is_delta(self) -> bool:
        """True: outside ``extents`` nothing changed. False: outside ``extents`` all bytes are zero."""

    @property
    def is_near(self) -> bool:
        """True: this host's own disk or memory answers, so whoever needs bytes may read them himself."""

    def extents(self) -> Iterator[Extent]:
        """Yield ranges to read in disk order, without overlap, each inside the disk."""

    def expect(self, extents: Sequence[Extent]) -> None:
        """Learn what is read soon: one that is near begins to fetch it, and waits for nothing."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset, in any order: where each takes a round trip, they go together."""

    def close(self) -> None:
        """Release what the source holds; safe to call twice."""


class DiskSink(Protocol):
    """One disk to be filled; holds zeroes only where it was told so, unless ``is_zeroed``."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def is_zeroed(self) -> bool:
        """True when every byte not yet written reads as zero, so zeroes need not be sent."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data`` at ``offset``. Thread-safe for ranges that do not overlap."""

    def zero(self, extent: Extent) -> None:
        """Make the range read as zeroes, without storing them where that is possible."""

    def flush(self) -> None:
        """Return when all that was written survives a power cut."""

    def close(self) -> None:
        """Release the sink without promising durability; safe to call twice."""
