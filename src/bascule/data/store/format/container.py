"""A container: the one shape of every sealed object.

    header 64 | frame 0 | frame 1 | ... | payload | index | footer 32

Frames are sealed one by one, so that a reader fetches only those it needs. The
payload is a log entry's own text (absent in segments). The index lists all
frames with the digests of their plain bytes. Both are sealed under the name of
the object, so no object can take another's place. The footer only says where
they are; one that lies is found out, and costs no memory beyond TAIL_MAX.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import (
    STRATEGY_FAST,
    ZstdCompressionParameters,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
    frame_content_size,
)

from bascule.blocks.memory import aligned
from bascule.model.errors import Damaged, Refused

from .sealing import INDEX_NONCE, PAYLOAD_NONCE, RAW, SALT_BYTES, TAG_BYTES, Place, Sealer, name_tag, nonce

HEADER = struct.Struct("<8sB7s32s16s")
FOOTER = struct.Struct("<QIIII8s")
MAGIC = b"BASCULE\x01"
END = b"\x01ELUCSAB"
_FRAME = struct.Struct("<16sQIIIB32s")

SEGMENT_BYTES = 16 << 20
# What a reader believes at most; writers stay far below.
FRAMES_MAX = 1 << 18
PAYLOAD_MAX = 64 << 20
TAIL_MAX = PAYLOAD_MAX + FRAMES_MAX * _FRAME.size
_SLACK = 2 << 20
_UNUSED = bytes(7)
# Level 1 of zstd, but for matches of 7 bytes and more: on system files a tenth less
# processor time for 0.7 % more bytes, and compressing is two thirds of what a copy costs.
FAST = ZstdCompressionParameters(
    window_log=18,
    chain_log=13,
    hash_log=14,
    search_log=1,
    min_match=7,
    target_length=0,
    strategy=STRATEGY_FAST,
    write_checksum=False,
)


class Kind(IntEnum):
    """What an object is; part of every seal in it."""

    SEGMENT = 1
    ENTRY = 2
    PART = 3
    MOVED = 4
    PIN = 5
    LOCK = 6


class Source(NamedTuple):
    """Which object, and the salt that its key is drawn with."""

    name: str
    salt: bytes


class FrameRef(NamedTuple):
    """Where a sealed frame lies; with owner, offset and flags it can be opened."""

    source: Source
    frame: int
    at: int
    sealed: int
    plain: int
    flags: int


class IndexedFrame(NamedTuple):
    """One line of a container's index."""

    owner: bytes
    offset: int
    plain: int
    at: int
    sealed: int
    flags: int
    digest: bytes


class Builder:
    """Fills one container in a page-aligned buffer. Not thread-safe; reused by ``begin``."""

    def __init__(self, sealer: Sealer, capacity: int = SEGMENT_BYTES) -> None:
        self._sealer = sealer
        self._view = aligned(capacity + _SLACK)
        self._capacity = capacity
        self._compressor = ZstdCompressor(compression_params=FAST)
        self._compress = self._compressor.compress
        self._digest = sealer.digester()
        self._at = 0
        self._finished = False
        self.frames: list[IndexedFrame] = []
        self.source = Source("", b"")
        self.kind = Kind.SEGMENT

    def begin(self, kind: Kind, source: Source) -> None:
        """Start a new container under a salt that was never used before."""
        if len(source.salt) != SALT_BYTES:
            raise ValueError("a salt has 32 bytes")
        self.kind, self.source, self.frames, self._finished = kind, source, [], False
        self._cipher: AESGCM = self._sealer.cipher(source.salt)
        HEADER.pack_into(self._view, 0, MAGIC, kind, _UNUSED, source.salt, self._sealer.vault)
        self._at = HEADER.size

    @property
    def stored(self) -> int:
        """Return the sealed bytes so far."""
        return self._at - HEADER.size

    def has_room(self, plain: int, more: int = 1) -> bool:
        """Tell whether so many more frames surely fit, of ``plain`` bytes together."""
        frames = len(self.frames) + more - 1
        end = self._at + plain + more * TAG_BYTES + frames * _FRAME.size
        return frames < FRAMES_MAX and end < self._capacity

    def add(self, owner: bytes, offset: int, plain: bytes | memoryview, flags: int = 0) -> FrameRef:
        """Compress, hash and seal one frame."""
        return self._add(owner, offset, plain, self._compress(plain), flags)

    def add_all(self, owner: bytes, pieces: Sequence[tuple[int, memoryview]]) -> list[FrameRef]:
        """Add frames together, each an offset and its bytes.

        Whoever waits for the interpreter's lock between any two of a thousand small frames
        spends more on that than on the frames: all are compressed in one call.
        """
        together = self._compressor.multi_compress_to_buffer([plain for _, plain in pieces])
        return [
            self._add(owner, offset, plain, memoryview(cast(bytes, together[place])), 0)
            for place, (offset, plain) in enumerate(pieces)
        ]

    def _add(
        self, owner: bytes, offset: int, plain: bytes | memoryview, packed: bytes | memoryview, flags: int
    ) -> FrameRef:
        size = len(plain)
        if len(packed) >= size - (size >> 6):
            packed, flags = plain, flags | RAW
        return self._seal(packed, IndexedFrame(owner, offset, size, 0, 0, flags, self._digest(plain)))

    def reseal(self, line: IndexedFrame, packed: bytes) -> FrameRef:
        """Seal a frame of another container, opened but still compressed, under this one's key."""
        return self._seal(packed, line)

    def _seal(self, packed: bytes | memoryview, line: IndexedFrame) -> FrameRef:
        owner, offset, size, flags = line.owner, line.offset, line.plain, line.flags
        place = Place(len(self.frames), owner, offset, size, flags)
        at, end = self._at, self._at + len(packed) + TAG_BYTES
        self._check_room(end)
        self._cipher.encrypt_into(
            nonce(place.frame), packed, self._sealer.associated(self.kind, place), self._view[at:end]
        )
        self.frames.append(IndexedFrame(owner, offset, size, at, end - at, flags, line.digest))
        self._at = end
        return FrameRef(self.source, place.frame, at, end - at, size, flags)

    def close(self) -> None:
        """Let go of the buffer, without waiting for a collector of garbage; safe to call twice."""
        # Whoever still looks at a part of it, a traceback for one, keeps all of it until it looks away.
        self._view = memoryview(b"")

    def sealed_frame(self, number: int) -> memoryview:
        """Return the sealed bytes of a frame added before."""
        line = self.frames[number]
        return self._view[line.at : line.at + line.sealed]

    def finish(self, payload: bytes = b"") -> memoryview:
        """Close the container; asking again returns the same view, valid until the next ``begin``."""
        if self._finished:
            return self._view[: self._at]
        head = self._at
        if payload:
            self._seal_tail(PAYLOAD_NONCE, payload)
        index_at = self._at
        self._seal_tail(INDEX_NONCE, b"".join(pack_frame(line) for line in self.frames))
        FOOTER.pack_into(
            self._view, self._at, head, index_at - head, self._at - index_at, len(self.frames), 0, END
        )
        self._at += FOOTER.size
        self._finished = True
        return self._view[: self._at]

    def _seal_tail(self, number: int, plain: bytes) -> None:
        packed = self._compress(plain)
        place = Place(number, name_tag(self.source.name), self._at, 0, 0)
        end = self._at + len(packed) + TAG_BYTES
        self._check_room(end + FOOTER.size, len(plain))
        self._cipher.encrypt_into(
            nonce(number), packed, self._sealer.associated(self.kind, place), self._view[self._at : end]
        )
        self._at = end

    def _check_room(self, end: int, plain: int = 0) -> None:
        if end > len(self._view) or plain > PAYLOAD_MAX:
            raise Refused(
                f"object {self.source.name} would grow too large",
                cure="put fewer machines into one group, or less into their definitions",
            )


def pack_frame(line: IndexedFrame) -> bytes:
    """Return one line of an index as bytes."""
    return _FRAME.pack(*line)


@dataclass(frozen=True, slots=True)
class Opened:
    """A container's parts, authenticated; ``frames`` bytes are still sealed."""

    kind: Kind
    salt: bytes
    payload: bytes
    frames: tuple[IndexedFrame, ...]


def open_header(data: memoryview, sealer: Sealer, name: str) -> tuple[Kind, bytes]:
    """Check a header and return kind and salt."""
    if len(data) < HEADER.size:
        raise Damaged(f"object {name} is cut short")
    magic, kind, unused, salt, vault = HEADER.unpack_from(data)
    if magic != MAGIC or unused != _UNUSED:
        raise Damaged(f"object {name} is not a Bascule container of format 1")
    if vault != sealer.vault:
        raise Damaged(f"object {name} belongs to another vault")
    try:
        return Kind(kind), salt
    except ValueError as error:
        raise Damaged(f"object {name} has an unknown kind {kind}") from error


def open_container(
    read: Callable[[int, int], memoryview], size: int, sealer: Sealer, name: str, expected: Kind
) -> Opened:
    """Read header, payload and index of an object through ``read(offset, length)``."""
    if size < HEADER.size + FOOTER.size:
        raise Damaged(f"object {name} is cut short")
    kind, salt = open_header(read(0, HEADER.size), sealer, name)
    if kind != expected:
        raise Damaged(f"object {name} is a {kind.name.lower()}, not a {expected.name.lower()}")
    head, payload, index, count = _open_footer(read(size - FOOTER.size, FOOTER.size), size, name)
    tail = read(head, payload + index)
    body = b""
    if payload:
        body = _open_tail(sealer, (salt, kind, PAYLOAD_NONCE), head, tail[:payload], name)
    lines = _open_tail(sealer, (salt, kind, INDEX_NONCE), head + payload, tail[payload:], name)
    if len(lines) != count * _FRAME.size:
        raise Damaged(f"the index of {name} does not list {count} frames")
    return Opened(kind, salt, body, tuple(map(IndexedFrame._make, _FRAME.iter_unpack(lines))))


def _open_footer(footer: memoryview, size: int, name: str) -> tuple[int, int, int, int]:
    head, payload, index, count, unused, end = FOOTER.unpack(footer)
    fits = head >= HEADER.size and head + payload + index + FOOTER.size == size
    if end != END or unused or not fits or payload + index > TAIL_MAX:
        raise Damaged(f"object {name} is cut short or its footer is not its own")
    return head, payload, index, count


def _open_tail(
    sealer: Sealer, seal: tuple[bytes, Kind, int], at: int, sealed: memoryview, name: str
) -> bytes:
    salt, kind, number = seal
    try:
        return inflate(sealer.open(salt, kind, Place(number, name_tag(name), at, 0, 0), sealed), PAYLOAD_MAX)
    except Damaged as error:
        raise Damaged(f"object {name} does not open: {error}") from error


def inflate(packed: bytes, most: int) -> bytes:
    """Decompress one zstd frame; whatever it claims, it gets no more memory than ``most``."""
    try:
        if not 0 <= frame_content_size(packed) <= most:
            raise Damaged(f"compressed bytes claim to be more than {most}")
        return ZstdDecompressor().decompress(packed, max_output_size=most)
    except ZstdError as error:
        raise Damaged(f"compressed bytes do not decompress: {error}") from error


def open_packed(
    sealer: Sealer, kind: Kind, ref: FrameRef, where: tuple[bytes, int], sealed: bytes | memoryview
) -> bytes:
    """Return a frame's bytes as they were compressed; ``where`` is its owner and offset."""
    owner, offset = where
    place = Place(ref.frame, owner, offset, ref.plain, ref.flags)
    return sealer.open(ref.source.salt, kind, place, sealed)


def open_frame(
    sealer: Sealer, kind: Kind, ref: FrameRef, where: tuple[bytes, int], sealed: bytes | memoryview
) -> bytes:
    """Return the plain bytes of one sealed frame; ``where`` is its owner and offset."""
    packed = open_packed(sealer, kind, ref, where, sealed)
    if ref.flags & RAW:
        return packed
    plain = inflate(packed, min(ref.plain, PAYLOAD_MAX))
    if len(plain) != ref.plain:
        raise Damaged(f"frame {ref.frame} of {ref.source.name} has {len(plain)} bytes, not {ref.plain}")
    return plain
