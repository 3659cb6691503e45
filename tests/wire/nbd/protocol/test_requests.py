from __future__ import annotations

import contextlib
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Damaged
from bascule.wire.nbd.protocol.constants import PAYLOAD_MAX, REQUEST, REQUEST_MAGIC, WRITE
from bascule.wire.nbd.protocol.requests import WRITE_PIECE, Request, RequestReader

U64 = st.integers(0, 2**64 - 1)


def pack(flags: int, command: int, cookie: int, offset: int, length: int) -> bytes:
    return REQUEST.pack(REQUEST_MAGIC, flags, command, cookie, offset, length)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, tuple[int, int, int, int, int, bytes]]:
    """A request as bytes, and as what it says."""
    command, cookie, offset = draw(st.integers(0, 9)), draw(U64), draw(U64)
    if command == WRITE:
        payload = draw(st.binary(max_size=300)) * draw(st.sampled_from([1, 1, 400]))
        return pack(1, WRITE, cookie, offset, len(payload)) + payload, (
            1, WRITE, cookie, offset, len(payload), payload,
        )  # fmt: skip
    length = draw(st.integers(0, 2**32 - 1))
    return pack(3, command, cookie, offset, length), (3, command, cookie, offset, length, b"")


def feed(reader: RequestReader, data: bytes, sizes: list[int]) -> list[Request]:
    """Give the data to the reader in pieces of these sizes, over and over."""
    found: list[Request] = []
    at = turn = 0
    while at < len(data):
        buffer = reader.buffer()
        count = min(sizes[turn % len(sizes)], len(buffer), len(data) - at)
        buffer[:count] = data[at : at + count]
        found += reader.received(count)
        at, turn = at + count, turn + 1
    return found


@given(st.lists(requests(), max_size=12), st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_requests_are_the_same_whatever_the_pieces_they_come_in(
    wanted: list[tuple[bytes, tuple[int, int, int, int, int, bytes]]], sizes: list[int]
) -> None:
    reader = RequestReader()
    found = feed(reader, b"".join(raw for raw, _ in wanted), sizes)
    assert [(*request[:5], bytes(request.payload)) for request in found] == [meant for _, meant in wanted]
    assert reader.idle


@given(st.binary(max_size=500), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_rubbish_is_damaged_or_waits_for_more(data: bytes, sizes: list[int]) -> None:
    try:
        feed(RequestReader(), data, sizes)
    except Damaged:
        return
    assert len(data) < REQUEST.size


@given(st.lists(requests(), min_size=1, max_size=6), st.data())
def test_a_changed_byte_never_raises_anything_but_damaged(
    wanted: list[tuple[bytes, tuple[int, int, int, int, int, bytes]]], data: st.DataObject
) -> None:
    raw = bytearray(b"".join(raw for raw, _ in wanted))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Damaged):
        feed(RequestReader(), bytes(raw), [len(raw)])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4096, 65536, 10_000_000])
def test_a_long_write_comes_in_pieces_that_are_the_whole(size: int) -> None:
    length = 2 * WRITE_PIECE + 77
    payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
    raw = pack(0, WRITE, 5, 2**40, length) + payload + pack(0, 3, 6, 0, 0)
    *pieces, flush = feed(RequestReader(), raw, [size])
    assert flush.command == 3
    assert [piece.left for piece in pieces] == [WRITE_PIECE + 77, 77, 0]
    assert [piece.offset - 2**40 for piece in pieces] == [0, WRITE_PIECE, 2 * WRITE_PIECE]
    assert b"".join(piece.payload for piece in pieces) == payload
    assert [cookie for cookie, _ in groupby(piece.cookie for piece in pieces)] == [5]


def test_a_write_of_absurd_length_is_damaged_before_anything_is_kept() -> None:
    with pytest.raises(Damaged, match="announces"):
        feed(RequestReader(), pack(0, WRITE, 1, 0, PAYLOAD_MAX + 1), [28])


def test_a_write_announced_and_not_sent_holds_one_piece() -> None:
    reader = RequestReader()
    assert feed(reader, pack(0, WRITE, 1, 0, PAYLOAD_MAX), [28]) == []
    assert len(reader.buffer()) == WRITE_PIECE
    assert reader.exact
    assert not reader.idle
