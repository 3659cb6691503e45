"""A disk in memory, for tests, demonstrations and measurements. Blocks never written cost nothing to send."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from .export import Content
from .protocol.constants import BASE_ALLOCATION, STATE_HOLE, STATE_ZERO

BLOCK = 65536


class MemoryExport:
    """A disk of zeroes that remembers which 64 KiB blocks hold data. Nothing survives its process."""

    minimum_block = 1
    preferred_block = 4096
    contexts: Sequence[str] = (BASE_ALLOCATION,)

    def __init__(self, size_bytes: int, *, read_only: bool = False) -> None:
        self.size_bytes = size_bytes
        self.read_only = read_only
        self._bytes = memoryview(bytearray(size_bytes))
        self._held = bytearray(-(-size_bytes // BLOCK))  # 1 for every block that holds data
        self._changing = threading.Lock()

    def is_ready(self, _offset: int, _length: int) -> bool:
        """Memory never waits."""
        return True

    def read_soon(self, offset: int, length: int) -> Content | None:
        """See Export."""
        return self.read(offset, length)

    def read(self, offset: int, length: int) -> Content:
        """See Export."""
        end = offset + length
        if self._held.find(0, offset // BLOCK, (end - 1) // BLOCK + 1) < 0:
            return [(length, self._bytes[offset:end])]
        parts: list[tuple[int, memoryview | None]] = []
        for start, stop, held in self._runs(offset, length):
            parts.append((stop - start, self._bytes[start:stop] if held else None))
        return parts

    def write(self, offset: int, data: memoryview) -> None:
        """See Export."""
        end = offset + len(data)
        first, last = offset // BLOCK, (end - 1) // BLOCK + 1
        with self._changing:
            self._bytes[offset:end] = data
            self._held[first:last] = b"\1" * (last - first)

    def zero(self, offset: int, length: int, may_trim: bool) -> None:
        """See Export; whole blocks become holes if that is allowed."""
        first, last = -(-offset // BLOCK), (offset + length) // BLOCK
        with self._changing:
            for start, stop, held in list(self._runs(offset, length)):
                if held:
                    self._bytes[start:stop] = bytes(stop - start)
            if last > first:
                self._held[first:last] = bytes(last - first) if may_trim else b"\1" * (last - first)

    def trim(self, offset: int, length: int) -> None:
        """See Export; what is trimmed reads as zeroes."""
        self.zero(offset, length, True)

    def flush(self) -> None:
        """There is nothing to flush to."""

    def extents(self, _context: str, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """See Export."""
        for start, stop, held in self._runs(offset, length):
            yield stop - start, 0 if held else STATE_HOLE | STATE_ZERO

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, stop, holds data) of neighbouring blocks."""
        end = offset + length
        while offset < end:
            block = offset // BLOCK
            held = self._held[block]
            other = self._held.find(1 - held, block)
            stop = end if other < 0 else min(other * BLOCK, end)
            yield offset, stop, bool(held)
            offset = stop
