"""Sets of sectors, one bit each, and where each 4 KiB sector of an overlay is.

A set costs what was touched: nothing on a fresh disk of any size, 32 MiB for a
tebibyte written all over. Ranges are handled as one integer, not bit by bit.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from enum import IntEnum

from bascule.model.errors import Damaged

SECTOR = 4096
CHUNK = 32768  # sectors that are kept, saved and handled together: 128 MiB
_CHUNK_BYTES = CHUNK // 8
_NOTHING = bytes(_CHUNK_BYTES)
_LINE = struct.Struct("<I")


class SectorSet:
    """Which sectors are in; not thread-safe for two writers."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def bits(self, first: int, count: int) -> int:
        """Return ``count`` bits from ``first`` on, the first one lowest."""
        number, at = divmod(first, CHUNK)
        if at + count > CHUNK:
            here = CHUNK - at
            return self.bits(first, here) | self.bits(first + here, count - here) << here
        chunk = self._chunks.get(number)
        if chunk is None:
            return 0
        return int.from_bytes(chunk[at >> 3 : at + count + 7 >> 3], "little") >> (at & 7) & (1 << count) - 1

    def put(self, first: int, count: int, value: int) -> None:
        """Replace ``count`` bits from ``first`` on by those of ``value``."""
        number, at = divmod(first, CHUNK)
        if at + count > CHUNK:
            here = CHUNK - at
            self.put(first, here, value & (1 << here) - 1)
            self.put(first + here, count - here, value >> here)
            return
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = bytearray(_CHUNK_BYTES)
        low, high, shift = at >> 3, at + count + 7 >> 3, at & 7
        old = int.from_bytes(chunk[low:high], "little") & ~((1 << count) - 1 << shift)
        chunk[low:high] = (old | value << shift).to_bytes(high - low, "little")

    def add(self, first: int, count: int) -> None:
        """Put a range in."""
        self.put(first, count, (1 << count) - 1)

    def absorb(self, other: SectorSet) -> None:
        """Put in all that is in ``other``."""
        for number in other.chunks():
            value = self.bits(number * CHUNK, CHUNK) | other.bits(number * CHUNK, CHUNK)
            self.put(number * CHUNK, CHUNK, value)

    def chunks(self) -> list[int]:
        """Return, in order, which chunks of ``CHUNK`` sectors may have any in."""
        return sorted(self._chunks)

    def saved(self, number: int) -> bytes:
        """Return the bytes of one chunk."""
        return bytes(self._chunks.get(number, _NOTHING))

    def restore(self, number: int, data: bytes) -> None:
        """Put back what ``saved`` returned."""
        if data != _NOTHING:
            self._chunks[number] = bytearray(data)


class Home(IntEnum):
    """Where a sector's bytes are."""

    POINT = 0
    FIRST = 1
    SECOND = 2
    ZERO = 3


def runs(first: int, count: int, *columns: int) -> Iterator[tuple[int, int, int]]:
    """Cut a range where a column of bits changes: yield first, count, and the columns' bits as one number."""
    at = 0
    while at < count:
        left = count - at
        full = (1 << left) - 1
        value = change = 0
        for place, column in enumerate(columns):
            rest = column >> at & full
            if rest & 1:
                value |= 1 << place
                rest ^= full
            change |= rest
        length = (change & -change).bit_length() - 1 if change else left
        yield first + at, length, value
        at += length


class SectorMap:
    """Where every sector of an overlay is: in the point below, in one of two homes, or nowhere, being zero.

    ``second`` tells which of its two homes a written sector lives in. A zeroed
    sector keeps it too: see ``target``.
    """

    def __init__(self) -> None:
        # Readers see all three sets as of one moment; no I/O is ever done under it.
        self._guard = threading.Lock()
        self._written = SectorSet()
        self._second = SectorSet()
        self._zero = SectorSet()

    def untouched(self, first: int, count: int) -> bool:
        """Tell whether the point alone knows this range."""
        return not self._written.bits(first, count)

    def homes(self, first: int, count: int) -> Iterator[tuple[int, int, Home]]:
        """Yield first, count and home of runs that cover a range."""
        with self._guard:
            columns = [each.bits(first, count) for each in (self._written, self._second, self._zero)]
        for low, length, value in runs(first, count, *columns):
            written, second, zero = value & 1, value & 2, value & 4
            home = Home.POINT if not written else Home.ZERO if zero else Home.SECOND if second else Home.FIRST
            yield low, length, home

    def target(self, first: int, count: int, fresh: int) -> Iterator[tuple[int, int, Home]]:
        """Yield runs with the home that new bytes go to: never the one that holds the flushed bytes.

        ``fresh`` has a bit for each sector changed since the last flush: its home of
        now is not the flushed one, and is used again. Any other sector with bytes
        changes homes; one without starts in the first.
        """
        second = self._second.bits(first, count)
        full = (1 << count) - 1
        flushed = self._written.bits(first, count) & ~self._zero.bits(first, count) & ~fresh
        choice = fresh & second | flushed & ~second & full
        for low, length, value in runs(first, count, choice):
            yield low, length, Home.SECOND if value else Home.FIRST

    def set(self, first: int, count: int, home: Home, *, zero: bool) -> None:
        """Say that a range now has ``home``; ``zero``: and that it holds no bytes there."""
        full = (1 << count) - 1
        with self._guard:
            self._written.add(first, count)
            # Sets that nobody needs are left untouched, and cost no memory.
            if home is Home.SECOND or self._second.bits(first, count):
                self._second.put(first, count, full if home is Home.SECOND else 0)
            if zero or self._zero.bits(first, count):
                self._zero.put(first, count, full if zero else 0)

    def written(self) -> Iterator[tuple[int, int]]:
        """Yield first and count of what is no longer as in the point, in order, joined."""
        start = end = 0
        for number in self._written.chunks():
            first = number * CHUNK
            for low, length, value in runs(first, CHUNK, self._written.bits(first, CHUNK)):
                if not value:
                    continue
                if low > end:
                    if end > start:
                        yield start, end - start
                    start = low
                end = low + length
        if end > start:
            yield start, end - start

    def to_bytes(self) -> bytes:
        """Return the map, deflated."""
        sets = (self._written, self._second, self._zero)
        parts = []
        for number in self._written.chunks():
            parts.append(_LINE.pack(number))
            parts.extend(each.saved(number) for each in sets)
        return zlib.compress(b"".join(parts), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> SectorMap:
        """Read a map back."""
        self = cls()
        try:
            plain = zlib.decompress(data)
        except zlib.error as error:
            raise Damaged("an overlay's map cannot be inflated") from error
        for at in range(0, len(plain), _LINE.size + 3 * _CHUNK_BYTES):
            (number,) = _LINE.unpack_from(plain, at)
            for place, each in enumerate((self._written, self._second, self._zero)):
                start = at + _LINE.size + place * _CHUNK_BYTES
                each.restore(number, plain[start : start + _CHUNK_BYTES])
        return self
