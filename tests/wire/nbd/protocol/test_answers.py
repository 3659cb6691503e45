from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Damaged
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.answers import AnswerReader, Pending
from bascule.wire.nbd.protocol.replies import (
    Buffer,
    chunks,
    error_chunk,
    one_chunk,
    simple_read,
    simple_reply,
    status_chunk,
)

SIZES = st.lists(st.integers(1, 20_000), min_size=1, max_size=5)


def feed(reader: AnswerReader, data: bytes, sizes: list[int]) -> list[Pending]:
    """Give the data to the reader in pieces of these sizes, over and over."""
    finished: list[Pending] = []
    at = turn = 0
    while at < len(data):
        buffer, ahead = reader.buffer(), reader.ahead()
        assert len(ahead) <= len(data) - at - len(buffer) or not ahead, "it would wait for what does not come"
        count = min(sizes[turn % len(sizes)], len(buffer) + len(ahead), len(data) - at)
        here = min(count, len(buffer))
        buffer[:here] = data[at : at + here]
        if count > here:
            ahead[: count - here] = data[at + here : at + count]
        finished += reader.received(count)
        at, turn = at + count, turn + 1
    return finished


def joined(buffers: list[Buffer]) -> bytes:
    return b"".join(buffers)


def read(offset: int, length: int) -> Pending:
    """A read into a buffer full of something that is not the disk's."""
    return Pending(nbd.READ, offset, length, memoryview(bytearray(b"\xee" * length)))


@st.composite
def contents(draw: st.DrawFn) -> list[tuple[int, bytes | None]]:
    """A read's content in parts, some of them zeroes."""
    parts: list[tuple[int, bytes | None]] = []
    for seed, length, hole in draw(
        st.lists(st.tuples(st.integers(0, 99), st.integers(1, 40_000), st.booleans()), min_size=1, max_size=5)
    ):
        parts.append((length, None if hole else Random(seed).randbytes(length)))
    return parts


def plain(parts: list[tuple[int, bytes | None]]) -> bytes:
    return b"".join(data if data is not None else bytes(length) for length, data in parts)


@given(st.lists(contents(), min_size=1, max_size=4), SIZES, st.sampled_from(["chunks", "one", "simple"]))
def test_reads_are_what_the_server_sent_whatever_the_pieces_it_comes_in(
    disks: list[list[tuple[int, bytes | None]]], sizes: list[int], form: str
) -> None:
    reader = AnswerReader(structured=form != "simple")
    pack = {"chunks": chunks, "one": one_chunk, "simple": simple_read}[form]
    raw, wanted = b"", []
    for cookie, parts in enumerate(disks):
        length = len(plain(parts))
        wanted.append(read(1 << 40, length))
        reader.expect(cookie, wanted[-1])
        raw += joined(pack(cookie, 1 << 40, length, parts))
    finished = feed(reader, raw, sizes)
    assert finished == wanted
    assert [bytes(pending.buffer) for pending in finished] == [plain(parts) for parts in disks]
    if form == "chunks":
        assert [p.hole for p in finished] == [all(data is None for _, data in parts) for parts in disks]
    assert reader.waiting == 0


@given(st.permutations(range(6)), SIZES)
def test_pieces_may_come_in_any_order(order: list[int], sizes: list[int]) -> None:
    data = Random(1).randbytes(6000)
    raw = b"".join(
        joined(chunks(9, 50 + i * 1000, 1000, [(1000, data[i * 1000 : i * 1000 + 1000])], 0)) for i in order
    )
    reader = AnswerReader(structured=True)
    reader.expect(9, read(50, 6000))
    (done,) = feed(reader, raw + nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, 0, 9, 0), sizes)
    assert done.buffer == data


@given(contents(), st.data())
def test_a_changed_byte_raises_damaged_or_stays_inside_the_buffer(
    parts: list[tuple[int, bytes | None]], data: st.DataObject
) -> None:
    length = len(plain(parts))
    around = bytearray(b"\xee" * (length + 200))
    reader = AnswerReader(structured=True)
    pending = Pending(nbd.READ, 0, length, memoryview(around)[100 : 100 + length])
    reader.expect(0, pending)
    reader.expect(1, Pending(nbd.BLOCK_STATUS, 0, 1))
    raw = bytearray(joined(chunks(0, 0, length, parts)))
    headers = min(len(raw), 40)
    raw[data.draw(st.integers(0, headers - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Damaged):
        feed(reader, bytes(raw), [len(raw)])
    assert around[:100] == around[100 + length :] == b"\xee" * 100


@given(st.binary(max_size=300), SIZES, st.booleans())
def test_rubbish_is_damaged_or_waits_for_more(data: bytes, sizes: list[int], structured: bool) -> None:
    reader = AnswerReader(structured=structured)
    reader.expect(0, read(0, 100))
    with contextlib.suppress(Damaged):
        assert feed(reader, data, sizes) == []


def chunk(kind: int, payload: bytes, *, cookie: int = 7, flags: int = nbd.DONE) -> bytes:
    return nbd.CHUNK.pack(nbd.CHUNK_MAGIC, flags, kind, cookie, len(payload)) + payload


def at(offset: int, data: bytes) -> bytes:
    return offset.to_bytes(8, "big") + data


def hole(offset: int, length: int) -> bytes:
    return nbd.HOLE.pack(offset, length)


VIOLATIONS = {
    "an unknown cookie": chunk(nbd.CHUNK_NONE, b"", cookie=8),
    "an unknown simple cookie": simple_reply(8),
    "a bad magic": b"\1" * 32,
    "a success without data": chunk(nbd.CHUNK_NONE, b""),
    "a gap": chunk(nbd.CHUNK_DATA, at(1000, b"x" * 10), flags=0) + chunk(nbd.CHUNK_DATA, at(1020, b"x" * 80)),
    "an overlap": chunk(nbd.CHUNK_DATA, at(1000, b"x" * 60), flags=0)
    + chunk(nbd.CHUNK_DATA, at(1050, b"x" * 40)),
    "the same piece twice": chunk(nbd.CHUNK_DATA, at(1000, b"x" * 50), flags=0) * 2
    + chunk(nbd.CHUNK_NONE, b""),
    "data before the request": chunk(nbd.CHUNK_DATA, at(999, b"x" * 10)),
    "data after the request": chunk(nbd.CHUNK_DATA, at(1095, b"x" * 10)),
    "data at the end of the world": chunk(nbd.CHUNK_DATA, at(2**64 - 1, b"x" * 10)),
    "data without data": chunk(nbd.CHUNK_DATA, at(1000, b"")),
    "more data than memory": nbd.DATA_CHUNK.pack(nbd.CHUNK_MAGIC, 1, nbd.CHUNK_DATA, 7, 2**32 - 1, 1000),
    "a hole outside": chunk(nbd.CHUNK_HOLE, hole(1000, 101)),
    "a hole without length": chunk(nbd.CHUNK_HOLE, hole(1000, 0)),
    "a hole of odd form": chunk(nbd.CHUNK_HOLE, b"x" * 13),
    "a status for a read": chunk(nbd.CHUNK_STATUS, bytes(12)),
    "a status of odd length": chunk(nbd.CHUNK_STATUS, bytes(13)),
    "an endless status": nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, nbd.CHUNK_STATUS, 7, 2**32 - 4),
    "an unknown chunk": chunk(77, b""),
    "an empty chunk that is not the last": chunk(nbd.CHUNK_NONE, b"", flags=0),
    "an error that is none": chunk(nbd.CHUNK_ERROR, nbd.ERROR.pack(0, 0)),
    "an error message longer than itself": chunk(nbd.CHUNK_ERROR, nbd.ERROR.pack(5, 9) + b"short"),
    "an endless error": nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, nbd.CHUNK_ERROR, 7, 2**31),
    "a simple reply with data": simple_reply(7) + bytes(100),
}


@pytest.mark.parametrize("raw", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_server_that_breaks_the_rules_is_damaged(raw: bytes) -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, read(1000, 100))
    with pytest.raises(Damaged):
        feed(reader, raw, [len(raw)])


def test_structure_that_was_not_agreed_is_damaged() -> None:
    reader = AnswerReader(structured=False)
    reader.expect(7, read(0, 4))
    with pytest.raises(Damaged, match="begins with"):
        feed(reader, chunk(nbd.CHUNK_DATA, at(0, b"data")), [100])


def test_an_error_with_a_message_ends_the_request_it_answers() -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, read(0, 100))
    reader.expect(8, read(0, 4))
    raw = error_chunk(7, nbd.ENOSPC, "the disk\x1b[31m is full") + joined(chunks(8, 0, 4, [(4, b"data")]))
    failed, done = feed(reader, raw, [3])
    assert (failed.error, failed.message) == (nbd.ENOSPC, "the disk[31m is full")
    assert (done.error, bytes(done.buffer)) == (0, b"data")


def test_data_after_an_error_offset_does_not_hide_the_error() -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, read(0, 4))
    raw = chunk(nbd.CHUNK_ERROR_OFFSET, nbd.ERROR.pack(5, 0) + bytes(8), flags=0)
    (done,) = feed(reader, raw + joined(chunks(7, 0, 4, [(4, b"data")])), [100])
    assert done.error == nbd.EIO


def test_block_status_of_two_contexts_comes_under_their_numbers() -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, Pending(nbd.BLOCK_STATUS, 0, 2**32 - 1))
    first = status_chunk(7, 1, [(4096, 3), (8192, 0)], last=False)
    (done,) = feed(reader, first + status_chunk(7, 5, [(12288, 1)], last=True), [7])
    assert {number: bytes(raw) for number, raw in done.status.items()} == {
        1: bytes.fromhex("00001000 00000003 00002000 00000000"),
        5: bytes.fromhex("00003000 00000001"),
    }


def test_a_context_that_speaks_twice_is_damaged() -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, Pending(nbd.BLOCK_STATUS, 0, 4096))
    with pytest.raises(Damaged, match="unwanted"):
        feed(reader, status_chunk(7, 1, [(4096, 3)], last=False) * 2, [100])


def test_a_reply_in_crumbs_out_of_order_is_damaged_in_the_end() -> None:
    reader = AnswerReader(structured=True)
    reader.expect(7, read(0, 10_000))
    crumbs = b"".join(chunk(nbd.CHUNK_DATA, at(i, b"x"), flags=0) for i in range(9_999, 0, -2))
    with pytest.raises(Damaged, match="pieces"):
        feed(reader, crumbs, [10_000])
