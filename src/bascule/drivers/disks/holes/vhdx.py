"""Read from a VHDX image which of its blocks hold data, for QEMU's driver calls all of them data.

For an image that QEMU has open for reading only. So it has checked what is read here: the checksum of the
first region table, that no log waits to be replayed, that there is no parent. What is left out is what QEMU
reads as zeroes. Whatever looks strange all the same makes the answer None, and the whole image is read.

::

    at 192 KiB   regions: "regi", checksum u32, count u32, u32, then for each
                 GUID, offset in the file u64, length u32, flags u32
    a region     metadata: "metadata", u16, count u16, 20 bytes, then for each
                 GUID, offset in the region u32, length u32, flags u32, u32
    a region     block allocation table: for each block a u64, whose bits 0 to 2 are its state,
                 and after those of a chunk of blocks one for the chunk's bitmap
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

from bascule.blocks.extents import Extent, merge

_REGIONS_AT: Final = 192 << 10
_REGIONS, _REGION = struct.Struct("<4s4xI4x"), struct.Struct("<16sQI4x")
_ITEMS, _ITEM = struct.Struct("<8s2xH20x"), struct.Struct("<16sII8x")
_TABLE_MAX: Final = 2047
_BAT = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_HAS_PARENT: Final = 2
_SECTORS_IN_CHUNK: Final = 1 << 23
# Not present, undefined, zero, unmapped; the older unmapped, 5, is data here.
_HOLES: Final = frozenset((0, 1, 2, 3))
_STATE: Final = 7
_AT_ONCE: Final = 1 << 16
_OFFSET_MAX: Final = 1 << 62


class Layout(NamedTuple):
    """Where the allocation table is, and what its entries stand for."""

    table_at: int
    size_bytes: int
    block_bytes: int
    blocks_in_chunk: int


def layout(fd: int, size_bytes: int) -> Layout | None:
    """Return how an image is laid out, None if not as expected of an image of this size."""
    try:
        regions = dict(_entries(fd, _REGIONS_AT, (_REGIONS, _REGION), b"regi"))
        table_at, table_bytes = regions[_BAT]
        home, _ = regions[_METADATA]
        items = dict(_entries(fd, home, (_ITEMS, _ITEM), b"metadata"))
        block, flags = struct.unpack("<II", os.pread(fd, 8, home + items[_PARAMETERS][0]))
        (size,) = struct.unpack("<Q", os.pread(fd, 8, home + items[_DISK_SIZE][0]))
        (sector,) = struct.unpack("<I", os.pread(fd, 4, home + items[_SECTOR_SIZE][0]))
    except (struct.error, KeyError, OverflowError):
        return None
    if flags & _HAS_PARENT or size != size_bytes or sector not in (512, 4096):
        return None
    if table_at > _OFFSET_MAX:
        return None
    if block not in (1 << power for power in range(20, 29)):
        return None
    found = Layout(table_at, size, block, _SECTORS_IN_CHUNK * sector // block)
    return found if _entries_of(found) * 8 <= table_bytes else None


def _entries(
    fd: int, at: int, shapes: tuple[struct.Struct, struct.Struct], signature: bytes
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield what a table of regions or of items says of each GUID: offset and length."""
    head, each = shapes
    said, count = head.unpack(os.pread(fd, head.size, at))
    if said != signature or count > _TABLE_MAX:
        return
    for guid, offset, length in each.iter_unpack(os.pread(fd, count * each.size, at + head.size)):
        yield guid, (offset, length)


def _entries_of(found: Layout) -> int:
    blocks = -(-found.size_bytes // found.block_bytes)
    return blocks + max(0, blocks - 1) // found.blocks_in_chunk


def data_extents(fd: int, found: Layout) -> Iterator[Extent]:
    """Yield the blocks that are there, joined."""
    return merge(Extent(low, min(found.block_bytes, found.size_bytes - low)) for low in _present(fd, found))


def _present(fd: int, found: Layout) -> Iterator[int]:
    """Yield the offset of each block that is there; one whose entry is cut off counts as there."""
    count, stride = _entries_of(found), found.blocks_in_chunk + 1
    for first in range(0, count, _AT_ONCE):
        wanted = min(_AT_ONCE, count - first) * 8
        entries = array("Q", os.pread(fd, wanted, found.table_at + first * 8).ljust(wanted, b"\xff"))
        for number, entry in enumerate(entries, first):
            chunk, within = divmod(number, stride)
            if within < found.blocks_in_chunk and entry & _STATE not in _HOLES:
                yield (chunk * found.blocks_in_chunk + within) * found.block_bytes
