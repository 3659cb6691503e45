"""Containers: what was put in comes out, and whatever else is put there is Damaged and costs no memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zstandard import ZstdCompressor

from bascule.data.store.access import Access
from bascule.data.store.format.container import (
    END,
    FOOTER,
    HEADER,
    MAGIC,
    PAYLOAD_MAX,
    Builder,
    FrameRef,
    Kind,
    Opened,
    Source,
    inflate,
    open_container,
    open_frame,
)
from bascule.data.store.format.sealing import RAW, Sealer
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Refused
from bascule.ports.objects import ObjectInfo
from tests.properties import share

VAULT, KEY, SALT, OWNER = b"v" * 16, b"k" * 32, b"s" * 32, b"o" * 16
NAME = "segments/g/s/00000000"
SEALER = Sealer(VAULT, KEY)
_BUILDER = Builder(SEALER, 1 << 20)

Frames = list[tuple[int, bytes]]


def built(frames: Frames, payload: bytes = b"", name: str = NAME, kind: Kind = Kind.SEGMENT) -> bytes:
    _BUILDER.begin(kind, Source(name, SALT))
    for offset, plain in frames:
        _BUILDER.add(OWNER, offset, plain)
    return bytes(_BUILDER.finish(payload))


def opened(data: bytes, name: str = NAME, kind: Kind = Kind.SEGMENT, sealer: Sealer = SEALER) -> Opened:
    view = memoryview(data)
    return open_container(
        lambda offset, length: view[offset : offset + length], len(data), sealer, name, kind
    )


def plain_frames(data: bytes, found: Opened) -> Frames:
    return [
        (
            line.offset,
            open_frame(
                SEALER,
                found.kind,
                FrameRef(Source(NAME, found.salt), number, line.at, line.sealed, line.plain, line.flags),
                (line.owner, line.offset),
                data[line.at : line.at + line.sealed],
            ),
        )
        for number, line in enumerate(found.frames)
    ]


@contextmanager
def little_memory(most: int = 8 << 20) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak} bytes were taken"


frames = st.lists(st.tuples(st.integers(0, 2**63), st.binary(min_size=1, max_size=300)), max_size=5)


@given(frames, st.binary(max_size=500))
def test_a_container_gives_back_what_was_put_in(put: Frames, payload: bytes) -> None:
    data = built(put, payload)
    found = opened(data)
    assert found.payload == payload
    assert plain_frames(data, found) == put
    assert [line.digest for line in found.frames] == [SEALER.digester()(plain) for _, plain in put]


def test_frames_that_are_put_in_together_are_those_put_in_one_by_one() -> None:
    frames = [(0, bytes(65536)), (1 << 20, random.Random(1).randbytes(65536)), (1 << 30, b"abc" * 9000)]
    one_by_one = built(frames)
    _BUILDER.begin(Kind.SEGMENT, Source(NAME, SALT))
    refs = _BUILDER.add_all(OWNER, [(offset, memoryview(plain)) for offset, plain in frames])
    together = bytes(_BUILDER.finish())
    assert plain_frames(together, opened(together)) == frames
    assert opened(together).frames == opened(one_by_one).frames
    assert [ref.flags & RAW for ref in refs] == [0, RAW, 0]


def test_a_frame_that_does_not_compress_is_kept_raw_and_one_that_does_is_not() -> None:
    found = opened(built([(0, bytes(65536)), (1, random.Random(1).randbytes(200))]))
    assert [line.flags & RAW for line in found.frames] == [0, RAW]
    assert found.frames[0].sealed < 100


@given(st.binary(max_size=400))
@example(b"")
@example(HEADER.pack(MAGIC, 1, bytes(7), SALT, VAULT) + FOOTER.pack(64, 0, 0, 0, 0, END))
@example(HEADER.pack(MAGIC, 1, bytes(7), SALT, VAULT) + bytes(40) + FOOTER.pack(64, 15, 25, 0, 0, END))
def test_arbitrary_bytes_are_damaged_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(Damaged):
        opened(data)


@given(frames, st.binary(max_size=60), st.data())
@settings(max_examples=share(3))
def test_a_changed_byte_is_noticed_wherever_it_is(put: Frames, payload: bytes, data: st.DataObject) -> None:
    changed = bytearray(built(put, payload))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        plain_frames(bytes(changed), opened(bytes(changed)))


@given(frames, st.data())
def test_a_container_that_was_cut_or_lengthened_is_damaged(put: Frames, data: st.DataObject) -> None:
    whole = built(put, b"text")
    for other in (
        whole[: data.draw(st.integers(0, len(whole) - 1))],
        whole + data.draw(st.binary(min_size=1, max_size=40)),
        whole + whole,
    ):
        with pytest.raises(Damaged):
            opened(other)


def test_a_container_belongs_to_one_name_one_kind_one_vault_and_one_key() -> None:
    whole = built([(0, b"bytes")], b"text")
    for wrong in (
        lambda: opened(whole, name="segments/g/s/00000001"),
        lambda: opened(whole, kind=Kind.PART),
        lambda: opened(whole, sealer=Sealer(b"w" * 16, KEY)),
        lambda: opened(whole, sealer=Sealer(VAULT, b"l" * 32)),
    ):
        with pytest.raises(Damaged):
            wrong()


def test_a_frame_opens_only_at_its_own_place() -> None:
    data = built([(0, b"one" * 40), (65536, b"two" * 40)])
    line = opened(data).frames[0]
    sealed = data[line.at : line.at + line.sealed]
    right = FrameRef(Source(NAME, SALT), 0, line.at, line.sealed, line.plain, line.flags)

    def there(
        ref: FrameRef = right, owner: bytes = OWNER, offset: int = 0, kind: Kind = Kind.SEGMENT
    ) -> bytes:
        return open_frame(SEALER, kind, ref, (owner, offset), sealed)

    assert there() == b"one" * 40
    elsewhere = [
        {"owner": b"p" * 16},
        {"offset": 65536},
        {"kind": Kind.ENTRY},
        {"ref": right._replace(frame=1)},
        {"ref": right._replace(plain=right.plain + 1)},
        {"ref": right._replace(flags=right.flags ^ 1)},
        {"ref": right._replace(source=Source(NAME, b"t" * 32))},
    ]
    for change in elsewhere:
        with pytest.raises(Damaged):
            there(**change)


@pytest.mark.parametrize("payload", [0, 2**32 - 1])
def test_a_footer_that_lies_about_lengths_costs_no_memory(payload: int) -> None:
    index = 2**32 - 1
    size = 64 + payload + index + FOOTER.size
    head = HEADER.pack(MAGIC, 1, bytes(7), SALT, VAULT)
    foot = FOOTER.pack(64, payload, index, 2**32 - 1, 0, END)

    def read(offset: int, length: int) -> memoryview:
        if offset == 0:
            return memoryview(head)
        return memoryview(foot) if offset == size - FOOTER.size else memoryview(bytearray(length))

    with little_memory(), pytest.raises(Damaged):
        open_container(read, size, SEALER, NAME, Kind.SEGMENT)


def test_compressed_bytes_that_claim_to_be_huge_cost_no_memory() -> None:
    bomb = ZstdCompressor(level=19).compress(bytes(64 << 20))
    honest = ZstdCompressor(level=1).compress(bytes(1000))
    # A frame header: magic, 8 bytes of content size and a single segment; then the claim.
    liar = struct.pack("<IBQ", 0xFD2FB528, 0b11100000, 1 << 50) + honest[6:]
    unknown = ZstdCompressor(level=1, write_content_size=False).compress(bytes(1000))
    with little_memory():
        for packed in (bomb, liar, unknown, honest[:-1], b"", b"\x28\xb5\x2f\xfd"):
            with pytest.raises(Damaged):
                inflate(packed, 1 << 20)
        assert inflate(honest, 1000) == bytes(1000)


@given(st.binary(max_size=100), st.integers(0, 1 << 16))
def test_bytes_that_do_not_decompress_are_damaged(packed: bytes, most: int) -> None:
    try:
        assert len(inflate(packed, most)) <= most
    except Damaged:
        return


class Blown(MemoryStore):
    """A store in which every object claims to have grown to a terabyte."""

    def stat(self, name: str) -> ObjectInfo:
        return ObjectInfo(name, 1 << 40, super().stat(name).modified)


def test_an_object_that_somebody_blew_up_is_not_read_into_memory() -> None:
    store = Blown()
    store.create(NAME, built([], b"text"))
    with little_memory(), pytest.raises(Damaged, match="more than any"):
        Access(store, SEALER).whole(NAME, Kind.SEGMENT)


def test_a_payload_that_outgrows_its_container_is_refused_with_a_cure() -> None:
    builder = Builder(SEALER, 4096)
    builder.begin(Kind.SEGMENT, Source(NAME, SALT))
    noise = random.Random(1).randbytes(3 << 20)
    with pytest.raises(Refused, match="fewer machines"):
        builder.add(OWNER, 0, noise)
    for payload in (noise, noise, bytes(PAYLOAD_MAX + 1)):
        with pytest.raises(Refused, match="fewer machines"):
            builder.finish(payload)
    assert opened(bytes(builder.finish(b"text"))).payload == b"text"
