"""Replies as a server writes them: lists of buffers, so that data is never copied.

A read's content comes as parts in order: a length and its bytes, or a length and
None for zeroes, which cost 32 bytes on the wire when replies are structured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from bascule.model.errors import Damaged

from .constants import (
    CHUNK,
    CHUNK_DATA,
    CHUNK_ERROR,
    CHUNK_HOLE,
    CHUNK_MAGIC,
    CHUNK_STATUS,
    DATA_CHUNK,
    DESCRIPTOR,
    DONE,
    ERROR,
    HOLE_CHUNK,
    SIMPLE,
    SIMPLE_MAGIC,
    U32,
)

Buffer = bytes | bytearray | memoryview
Parts = Sequence[tuple[int, Buffer | None]]

_ZEROES = memoryview(bytes(64 * 1024))


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """Return the reply to anything that brings no data."""
    return SIMPLE.pack(SIMPLE_MAGIC, error, cookie)


def error_chunk(cookie: int, error: int, message: str) -> bytes:
    """Return a last chunk that says what went wrong."""
    words = message.encode()[:1024]
    header = CHUNK.pack(CHUNK_MAGIC, DONE, CHUNK_ERROR, cookie, ERROR.size + len(words))
    return header + ERROR.pack(error, len(words)) + words


def simple_read(cookie: int, _: int, length: int, parts: Parts) -> list[Buffer]:
    """Return a read's reply for a client without structured replies."""
    return [simple_reply(cookie), *_with_zeroes(_checked(parts, length))]


def one_chunk(cookie: int, offset: int, length: int, parts: Parts) -> list[Buffer]:
    """Return a read's reply in a single chunk, zeroes included, as the DF flag asks."""
    header = DATA_CHUNK.pack(CHUNK_MAGIC, DONE, CHUNK_DATA, cookie, 8 + length, offset)
    return [header, *_with_zeroes(_checked(parts, length))]


def chunks(cookie: int, offset: int, length: int, parts: Parts, done: int = DONE) -> list[Buffer]:
    """Return a read's reply, one chunk for every run of data or of zeroes; ``done`` goes on the last."""
    if len(parts) == 1:
        data = parts[0][1]
        if data is not None and len(data) == length:
            return [DATA_CHUNK.pack(CHUNK_MAGIC, done, CHUNK_DATA, cookie, 8 + length, offset), data]
    out: list[Buffer] = []
    end = offset + length
    for hole, run in groupby(_checked(parts, length), key=lambda part: part[1] is None):
        pieces = list(run)
        size = sum(piece[0] for piece in pieces)
        flags = done if offset + size == end else 0
        if hole:
            out.append(HOLE_CHUNK.pack(CHUNK_MAGIC, flags, CHUNK_HOLE, cookie, 12, offset, size))
        else:
            out.append(DATA_CHUNK.pack(CHUNK_MAGIC, flags, CHUNK_DATA, cookie, 8 + size, offset))
            out += [data for _, data in pieces if data is not None]
        offset += size
    return out


def _checked(parts: Parts, length: int) -> Parts:
    """Return the parts that hold something, or raise: one byte too few, and no later reply is understood."""
    held = [part for part in parts if part[0]]
    if sum(size for size, _ in held) != length or any(
        data is not None and len(data) != size for size, data in held
    ):
        raise Damaged(f"An export gave other than the {length} bytes it was asked for")
    return held


def status_chunk(cookie: int, context: int, descriptors: Iterable[tuple[int, int]], *, last: bool) -> bytes:
    """Return what one meta context says of a range."""
    body = b"".join(DESCRIPTOR.pack(length, flags) for length, flags in descriptors)
    header = CHUNK.pack(CHUNK_MAGIC, DONE if last else 0, CHUNK_STATUS, cookie, 4 + len(body))
    return header + U32.pack(context) + body


def descriptors(extents: Iterable[tuple[int, int]], length: int, most: int) -> Iterator[tuple[int, int]]:
    """Join neighbours with the same flags, stop at ``length`` bytes and after ``most`` descriptors.

    An export that says nothing gets the answer that is always true: flags 0.
    """
    size = flags = given = 0
    for extent, state in extents:
        piece = min(extent, length - given - size)
        if piece <= 0:
            continue
        if state == flags or not size:
            size, flags = size + piece, state
            continue
        yield size, flags
        most, given, size, flags = most - 1, given + size, piece, state
        if not most:
            return
    if size or not given:
        yield size or length, flags


def _with_zeroes(parts: Parts) -> Iterator[Buffer]:
    for length, data in parts:
        if data is not None:
            yield data
            continue
        for at in range(0, length, len(_ZEROES)):
            yield _ZEROES[: length - at]
