"""What the server asks of a disk that it serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

Content = Sequence[tuple[int, bytes | bytearray | memoryview | None]]


class Export(Protocol):
    """A disk to be served. All methods are called from several threads at once.

    Ranges lie inside the disk, are multiples of ``minimum_block`` and not empty. Errors of the
    families of ``model.errors`` and OSError become error replies of that one request.
    """

    @property
    def size_bytes(self) -> int: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def minimum_block(self) -> int:
        """Return the unit of requests: a power of two up to 64 KiB, 1 for any."""

    @property
    def preferred_block(self) -> int:
        """Return the unit in which requests go best: a power of two."""

    @property
    def contexts(self) -> Sequence[str]:
        """Return the names of the meta contexts ``extents`` knows, such as ``base:allocation``."""

    def is_ready(self, offset: int, length: int, /) -> bool:
        """Tell whether ``read`` of this range, at most 1 MiB, would return without waiting for anything."""

    def read_soon(self, offset: int, length: int, /) -> Content | None:
        """Return what ``read`` would, or None where that may take long and keep later requests waiting."""

    def read(self, offset: int, length: int, /) -> Content:
        """Return the range, at most 1 MiB, as parts in order: (length, bytes), or (length, None) for zeroes.

        The bytes are sent as they lie, after return: they must stay as they are.
        """

    def write(self, offset: int, data: memoryview, /) -> None:
        """Write ``data``; the buffer is not to be kept after return."""

    def zero(self, offset: int, length: int, may_trim: bool, /) -> None:
        """Make the range read as zeroes; keep room for later writes to it unless ``may_trim``."""

    def trim(self, offset: int, length: int, /) -> None:
        """Forget the range's content, or do nothing."""

    def flush(self) -> None:
        """Return when all writes that returned, of every connection, survive a power cut."""

    def extents(self, context: str, offset: int, length: int, /) -> Iterable[tuple[int, int]]:
        """Yield (length, flags) in order from ``offset`` on, without waiting for anything.

        It may be abandoned after any item; what it does not cover may have any state.
        """
