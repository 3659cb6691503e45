"""A disk of which somebody knows what changed: a list of ranges beside the disk itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bascule.blocks.extents import Extent
from bascule.ports.disks import DiskSource


class ChangedSource:
    """A source cut down to what is said to have changed; closing it is the caller's."""

    is_delta = True

    def __init__(self, whole: DiskSource, changed: Sequence[Extent]) -> None:
        self._whole = whole
        self._changed = changed
        self.size_bytes = whole.size_bytes
        self.is_near = whole.is_near

    def extents(self) -> Iterator[Extent]:
        """Yield what is said to have changed."""
        return iter(self._changed)

    def expect(self, extents: Sequence[Extent]) -> None:
        """Tell the disk itself."""
        self._whole.expect(extents)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read from the disk itself."""
        self._whole.read_into(offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Read from the disk itself."""
        self._whole.read_many(pieces)

    def close(self) -> None:
        """Close the disk."""
        self._whole.close()
