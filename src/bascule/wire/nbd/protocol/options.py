"""Data of handshake options, packed and unpacked. Whatever does not fit is Damaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bascule.model.errors import Damaged

from .constants import (
    BLOCK_INFO,
    EXPORT_INFO,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    NAME_MAX,
    OPTIONS_MAX,
    PAYLOAD_MAX,
    SIZE_MAX,
    U16,
    U32,
)


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """How requests are to be aligned (``minimum``), how they go best, and how long they may be."""

    minimum: int = 1
    preferred: int = 4096
    maximum: int = PAYLOAD_MAX


ANY_BLOCK = BlockSizes()


class Unpacker:
    """Take fields off the front of an option's data."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise Damaged(f"An NBD option announces {count} bytes but holds {len(self._data) - self._at}")
        piece, self._at = self._data[self._at : end], end
        return piece

    def u16(self) -> int:
        """Return the next 16 bits."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Return the next 32 bits."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> str:
        """Return a string preceded by its length."""
        return text(self.take(self.u32()))

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Raise unless everything was taken."""
        if self._at != len(self._data):
            raise Damaged(f"An NBD option holds {len(self._data) - self._at} bytes too many")


def text(raw: bytes) -> str:
    """Decode a string of the protocol: UTF-8, at most 4096 bytes, no NUL."""
    if len(raw) > NAME_MAX or b"\0" in raw:
        raise Damaged(f"An NBD string of {len(raw)} bytes is longer than {NAME_MAX} or holds a NUL")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Damaged("An NBD string is not UTF-8") from error


def pack_string(value: str) -> bytes:
    """Return a string preceded by its length."""
    raw = value.encode()
    return U32.pack(len(raw)) + raw


def pack_go(export: str, wanted: Sequence[int] = (INFO_BLOCK_SIZE,)) -> bytes:
    """Return the data of GO and INFO."""
    return pack_string(export) + U16.pack(len(wanted)) + b"".join(map(U16.pack, wanted))


def unpack_go(data: bytes) -> tuple[str, list[int]]:
    """Return the export's name and the kinds of information asked for."""
    fields = Unpacker(data)
    name = fields.string()
    wanted = [fields.u16() for _ in range(fields.u16())]
    fields.end()
    return name, wanted


def pack_meta(export: str, queries: Iterable[str]) -> bytes:
    """Return the data of LIST_META_CONTEXT and SET_META_CONTEXT."""
    packed = [pack_string(query) for query in queries]
    return pack_string(export) + U32.pack(len(packed)) + b"".join(packed)


def unpack_meta(data: bytes) -> tuple[str, list[str]]:
    """Return the export's name and the queries."""
    fields = Unpacker(data)
    name, count = fields.string(), fields.u32()
    if count > OPTIONS_MAX:
        raise Damaged(f"An NBD option holds {count} queries; at most {OPTIONS_MAX} are read")
    queries = [fields.string() for _ in range(count)]
    fields.end()
    return name, queries


def pack_export_info(size_bytes: int, flags: int) -> bytes:
    """Return the information every export gives."""
    return EXPORT_INFO.pack(INFO_EXPORT, size_bytes, flags)


def pack_block_info(sizes: BlockSizes) -> bytes:
    """Return the block size constraints."""
    return BLOCK_INFO.pack(INFO_BLOCK_SIZE, sizes.minimum, sizes.preferred, sizes.maximum)


def checked_size(size_bytes: int) -> int:
    """Return an export's size, or raise if no offset could reach its end."""
    if size_bytes > SIZE_MAX:
        raise Damaged(f"An NBD export announces {size_bytes} bytes, more than a disk can have")
    return size_bytes


def unpack_block_info(data: bytes) -> BlockSizes:
    """Return block size constraints, or raise if no request could keep them."""
    if len(data) != BLOCK_INFO.size:
        raise Damaged(f"An NBD block size message has {len(data)} bytes, not {BLOCK_INFO.size}")
    _, minimum, preferred, maximum = BLOCK_INFO.unpack(data)
    sizes = BlockSizes(minimum, preferred, maximum)
    powers = minimum and preferred and not minimum & (minimum - 1) and not preferred & (preferred - 1)
    if not powers or minimum > 65536 or maximum < minimum or (maximum % minimum and maximum != 0xFFFFFFFF):
        raise Damaged(f"An NBD export announces impossible block sizes {sizes}")
    return sizes
