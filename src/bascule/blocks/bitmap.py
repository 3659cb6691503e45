"""Which blocks of a disk are dirty: one bit per block, block 0 in the lowest bit of the first byte.

1 TiB at 64 KiB is 16 Mi blocks, 2 MiB of bits. Nothing here loops over blocks in
Python: ranges are slices of bytes, whole bitmaps are one big integer, and runs are
found by a regular expression that skips clean bytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator

from .extents import Extent, merge

# Serialised: magic, version, log2 of granularity, unused, size, CRC-32 of the plain bits;
# then the bits, deflated.
_HEAD = struct.Struct("<4sBBHQI")
_MAGIC, _VERSION = b"BSCB", 1
_DIRTY = re.compile(rb"\xff+|[^\x00\xff]")
_COUNTED = 1 << 16


def _runs_of(byte: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for bit in range(8):
        if not byte >> bit & 1:
            continue
        if found and sum(found[-1]) == bit:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((bit, 1))
    return tuple(found)


_RUNS = tuple(_runs_of(byte) for byte in range(256))


class Bitmap:
    """A set of dirty blocks. Not thread-safe."""

    __slots__ = ("_bits", "blocks", "granularity", "size")

    def __init__(self, size: int, granularity: int = 65536) -> None:
        if size < 0 or granularity <= 0 or granularity & (granularity - 1):
            raise ValueError(f"no bitmap of {size} bytes in blocks of {granularity}: use a power of two")
        self.size = size
        self.granularity = granularity
        self.blocks = -(-size // granularity)
        self._bits = bytearray(-(-self.blocks // 8))

    @classmethod
    def from_extents(cls, extents: Iterable[Extent], size: int, granularity: int = 65536) -> Bitmap:
        """Mark every block that an extent touches; any order will do."""
        bitmap = cls(size, granularity)
        for extent in extents:
            bitmap.mark(extent)
        return bitmap

    @classmethod
    def from_bytes(cls, data: bytes) -> Bitmap:
        """Read what ``to_bytes`` wrote, or raise ValueError."""
        if len(data) < _HEAD.size:
            raise ValueError("a bitmap was cut short")
        magic, version, shift, _, size, crc = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or shift > 63:
            raise ValueError("this is no bitmap of version 1")
        bitmap = cls.__new__(cls)
        bitmap.size, bitmap.granularity = size, 1 << shift
        bitmap.blocks = -(-size // bitmap.granularity)
        bitmap._bits = _inflate(memoryview(data)[_HEAD.size :], -(-bitmap.blocks // 8))
        if zlib.crc32(bitmap._bits) != crc:
            raise ValueError("a bitmap's bits do not match their checksum")
        return bitmap

    def to_bytes(self) -> bytes:
        """Return size, granularity and bits, deflated and with a checksum."""
        shift = self.granularity.bit_length() - 1
        head = _HEAD.pack(_MAGIC, _VERSION, shift, 0, self.size, zlib.crc32(self._bits))
        return head + zlib.compress(self._bits, 1)

    def mark(self, extent: Extent) -> None:
        """Mark every block that the extent touches."""
        first = max(extent.offset, 0) // self.granularity
        last = -(-min(extent.end, self.size) // self.granularity)
        if extent.length > 0 and extent.offset < self.size:
            self._fill(first, last, True)

    def clear(self, extent: Extent) -> None:
        """Clear the blocks that the extent covers whole; the disk's last block may be a short one."""
        first = -(-max(extent.offset, 0) // self.granularity)
        last = self.blocks if extent.end >= self.size else extent.end // self.granularity
        if extent.length > 0:
            self._fill(first, last, False)

    def clear_all(self) -> None:
        """Clear every block."""
        self._bits = bytearray(len(self._bits))

    def merge(self, other: Bitmap) -> None:
        """Mark what ``other`` marks; both must be of one disk and one granularity."""
        if (self.size, self.granularity) != (other.size, other.granularity):
            raise ValueError(
                f"a bitmap of {other.size} bytes in blocks of {other.granularity} does not fit "
                f"one of {self.size} bytes in blocks of {self.granularity}"
            )
        both = int.from_bytes(self._bits, "little") | int.from_bytes(other._bits, "little")
        self._bits = bytearray(both.to_bytes(len(self._bits), "little"))

    def count(self) -> int:
        """Return how many blocks are dirty."""
        # int.bit_count needs Python 3.10; slices keep the text of ones and zeroes at half a megabyte.
        return sum(
            bin(int.from_bytes(self._bits[at : at + _COUNTED], "little")).count("1")
            for at in range(0, len(self._bits), _COUNTED)
        )

    def is_dirty(self, offset: int) -> bool:
        """Tell whether the block that holds ``offset`` is marked."""
        if not 0 <= offset < self.size:
            return False
        block = offset // self.granularity
        return bool(self._bits[block >> 3] >> (block & 7) & 1)

    def covers(self, extent: Extent) -> bool:
        """Tell whether every block that the extent touches is marked; nothing beyond the disk is."""
        if extent.length <= 0:
            return True
        first, last = extent.offset // self.granularity, -(-extent.end // self.granularity)
        if first < 0 or last > self.blocks:
            return False
        low, high = first >> 3, (last - 1) >> 3
        bits = int.from_bytes(self._bits[low : high + 1], "little") >> (first & 7)
        wanted = (1 << (last - first)) - 1
        return bits & wanted == wanted

    def extents(self) -> Iterator[Extent]:
        """Yield the dirty ranges, joined, ending at the disk's size. Do not change the bitmap meanwhile."""
        return merge(self._pieces())

    def __bool__(self) -> bool:
        return self._bits.count(0) != len(self._bits)

    def _pieces(self) -> Iterator[Extent]:
        unit, size = self.granularity, self.size
        for match in _DIRTY.finditer(bytes(self._bits)):
            at = match.start() * 8
            full = match.end() - match.start()
            byte = self._bits[match.start()]
            runs = _RUNS[byte] if byte != 0xFF else ((0, full * 8),)
            for bit, count in runs:
                offset = (at + bit) * unit
                yield Extent(offset, min(count * unit, size - offset))

    def _fill(self, first: int, last: int, value: bool) -> None:
        """Set blocks first..last-1: the bits of both end bytes by masks, the bytes between by a slice."""
        if first >= last:
            return
        low, high = first >> 3, (last - 1) >> 3
        head, tail = 0xFF << (first & 7) & 0xFF, 0xFF >> (7 - (last - 1 & 7))
        if low == high:
            self._paint(low, head & tail, value)
            return
        self._paint(low, head, value)
        self._paint(high, tail, value)
        if high - low > 1:
            self._bits[low + 1 : high] = (b"\xff" if value else b"\x00") * (high - low - 1)

    def _paint(self, index: int, mask: int, value: bool) -> None:
        self._bits[index] = self._bits[index] | mask if value else self._bits[index] & ~mask


def _inflate(data: memoryview, length: int) -> bytearray:
    """Inflate exactly ``length`` bytes: a forged header cannot make us take more memory than it says."""
    engine = zlib.decompressobj()
    try:
        plain = bytearray(engine.decompress(data, length + 1))
    except zlib.error as error:
        raise ValueError("a bitmap's bits cannot be inflated") from error
    if len(plain) != length or not engine.eof or engine.unused_data:
        raise ValueError("a bitmap's bits are not as long as its disk needs")
    return plain
