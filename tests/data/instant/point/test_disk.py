from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.apps.chance import SystemClock
from bascule.blocks.extents import Extent
from bascule.data.instant.base import joined
from bascule.data.instant.point.disk import PointDisk
from bascule.data.instant.point.frames import FrameCache
from bascule.data.instant.point.load import Distance, Readers
from bascule.data.instant.point.patience import Patience
from bascule.data.store import BLOCK, FRAME, DiskKey, DiskReader, Opener, Run, Vault
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Unavailable
from lab.waiting import wait_until
from tests.data.instant.points import GROUP, MACHINE, add_point, content, opened, vault

SIZE = 40 * BLOCK + 12345
FIRST = content(SIZE)
SECOND = bytearray(FIRST)
SECOND[5 * BLOCK + 10 : 5 * BLOCK + 20] = b"overwrites"
SECOND[21 * BLOCK : 23 * BLOCK] = bytes(2 * BLOCK)
SECOND[-5:] = b"tail!"


class CountingReader:
    """A reader that notes which frames it decoded, and lets a test hold it up."""

    def __init__(self, reader: DiskReader) -> None:
        self._reader = reader
        self.size_bytes = reader.size_bytes
        self.runs, self.extents, self.part = reader.runs, reader.extents, reader.part
        self.decoded: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def frame_with(self, opener: Opener, run: Run) -> memoryview:
        self.decoded.append(run.block)
        assert self.gate.wait(30)
        return self._reader.frame_with(opener, run)


class Bench:
    """A point's disk and all around it."""

    def __init__(
        self,
        made: Vault,
        *,
        number: int | None = None,
        seconds: float | None = 30,
        room: int = 64 << 20,
        cores: int = 2,
    ) -> None:
        self.point = made.point(GROUP, number, purpose="test")
        self.reader = CountingReader(self.point.disk(DiskKey(MACHINE, "a")))
        # The clock of the distance stands still: every frame that comes was quick.
        self.cache = FrameCache(room, Distance(lambda: 0.0), Readers(cores))
        self.patience = Patience(SystemClock(), seconds)
        self.disk = PointDisk(self.reader, self.cache, self.patience, "disk a of web")

    def read(self, offset: int, length: int) -> bytes:
        return joined(self.disk.read(offset, length))


@contextmanager
def bench(made: Vault, **options: object) -> Iterator[Bench]:
    made_bench = Bench(made, **options)
    try:
        yield made_bench
    finally:
        made_bench.patience.end()
        made_bench.cache.close()
        made_bench.point.close()


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """A full point, and one that changed a block inside a frame, made two zero and changed the tail."""
    objects = MemoryStore()
    made = vault({"a": FIRST}, objects)
    add_point(made, {"a": bytes(SECOND)}, {"a": FIRST})
    return objects


ranges = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 2 << 20)).map(
    lambda r: (r[0], min(r[1], SIZE - r[0]))
)


@given(st.lists(st.tuples(ranges, st.sampled_from([0, 1])), max_size=6), st.sampled_from([300_000, 64 << 20]))
def test_every_range_of_every_point_reads_as_it_was_written(
    store: MemoryStore, asked: list[tuple[tuple[int, int], int]], room: int
) -> None:
    made = opened(store)
    numbers = [info.number for info in made.points(GROUP)]
    with bench(made, number=numbers[0], room=room) as old, bench(made, number=numbers[1], room=room) as new:
        for (offset, length), which in asked:
            for _ in range(2):
                seen = (old, new)[which].read(offset, length)
                assert seen == (FIRST, SECOND)[which][offset : offset + length]


def test_a_frame_is_decoded_once_and_then_ready(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        assert not ours.disk.is_ready(0, 100)
        ours.read(0, 100)
        assert ours.disk.is_ready(0, BLOCK)
        assert ours.read(500, 4096) == SECOND[500:4596]
        assert len(ours.reader.decoded) == 1
        assert ours.cache.figures.hit_rate == 0.5


def test_a_frame_shows_all_its_blocks_but_those_that_were_overwritten(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        ours.read(4 * BLOCK, 1)
        assert ours.disk.is_ready(4 * BLOCK, BLOCK)
        assert not ours.disk.is_ready(5 * BLOCK, BLOCK)
        assert ours.disk.is_ready(6 * BLOCK, 2 * BLOCK)
        assert len(ours.reader.decoded) == 1


def test_many_readers_of_one_frame_wait_for_one_decoding(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        ours.reader.gate.clear()
        seen: list[bytes] = []
        readers = [threading.Thread(target=lambda: seen.append(ours.read(8 * BLOCK, 100))) for _ in range(8)]
        for reader in readers:
            reader.start()
        wait_until(lambda: bool(ours.reader.decoded))
        ours.reader.gate.set()
        for reader in readers:
            reader.join(30)
        assert seen == [bytes(SECOND[8 * BLOCK : 8 * BLOCK + 100])] * 8
        assert len(ours.reader.decoded) == 1


def test_holes_are_parts_without_bytes_and_known_without_decoding(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        assert not ours.disk.is_ready(21 * BLOCK, 1)
        ours.read(21 * BLOCK, 1)
        assert ours.disk.is_ready(21 * BLOCK, 2 * BLOCK)
        assert ours.reader.decoded == []
        assert ours.disk.read(21 * BLOCK + 5, 2 * BLOCK - 5) == [(2 * BLOCK - 5, None)]
        assert list(ours.disk.extents(0, SIZE)) == [
            (Extent(0, BLOCK), True),
            (Extent(BLOCK, 2 * BLOCK), False),
            (Extent(3 * BLOCK, 18 * BLOCK), True),
            (Extent(21 * BLOCK, 2 * BLOCK), False),
            (Extent(23 * BLOCK, SIZE - 23 * BLOCK), True),
        ]


def test_the_cache_stays_within_its_room(store: MemoryStore) -> None:
    with bench(opened(store), room=2 * FRAME) as ours:
        chance = Random(4)
        for _ in range(200):
            offset = chance.randrange(SIZE - 5000)
            assert ours.read(offset, 5000) == SECOND[offset : offset + 5000]
            assert ours.cache.figures.held_bytes <= 2 * FRAME
        shown = {piece.frame.key: len(piece.frame.plain) for piece in ours.disk._pieces.values()}
        assert sum(shown.values()) <= 2 * FRAME


def test_frames_in_use_outlive_those_that_are_not(store: MemoryStore) -> None:
    with bench(opened(store), room=3 * FRAME) as ours:
        for block in (8, 28, 8, 16, 8, 36, 8, 24, 8, 12, 8, 32, 8):
            ours.read(block * BLOCK, 10)
        assert ours.reader.decoded.count(8) == 1


def test_reading_in_order_is_read_ahead(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        for offset in range(0, SIZE, 32768):
            length = min(32768, SIZE - offset)
            assert ours.read(offset, length) == SECOND[offset : offset + length]
            if offset == 14 * BLOCK:
                wait_until(lambda: ours.disk.is_ready(30 * BLOCK, BLOCK))
        assert ours.cache.figures.ahead >= 4
        assert len(ours.reader.decoded) == len(set(ours.reader.decoded))


def test_work_ahead_stands_back_for_a_guest_that_needs_the_processor() -> None:
    cache, seen, done = FrameCache(), [], threading.Event()

    def look() -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        done.set()

    cache.later(look)
    assert done.wait(30)
    cache.close()
    assert seen == [10]
    assert os.getpriority(os.PRIO_PROCESS, 0) < 10


def test_reading_at_random_is_not_read_ahead(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        for block in (30, 8, 36, 16, 0, 24, 12):
            ours.read(block * BLOCK, 4096)
        assert ours.cache.figures.ahead == 0


def test_a_near_store_is_read_by_whoever_asks(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        assert ours.disk.read_soon(0, 10) is None, "nobody knows yet how far the store is"
        ours.read(0, 10)
        for offset, length in ((8 * BLOCK, 3 * BLOCK), (20 * BLOCK, 5 * BLOCK), (SIZE - 10, 10)):
            parts = ours.disk.read_soon(offset, length)
            assert parts is not None
            assert joined(parts) == SECOND[offset : offset + length]


def test_a_far_store_is_left_to_those_who_can_wait(store: MemoryStore) -> None:
    with bench(opened(store)) as ours:
        seconds = iter(range(1000))
        ours.cache.distance = Distance(lambda: next(seconds))
        ours.read(0, 10)
        assert ours.disk.read_soon(8 * BLOCK, 10) is None
        assert len(ours.reader.decoded) == 1


def test_a_near_store_that_goes_away_keeps_nobody_waiting_who_cannot(store: MemoryStore) -> None:
    away = store.survivor()
    with bench(opened(away), seconds=None) as ours:
        ours.read(0, 10)
        away.fail("read", times=1 << 30)
        assert ours.disk.read_soon(8 * BLOCK, 10) is None
        assert not ours.patience.is_away, "who reads it patiently finds that out"
        asked = len(ours.reader.decoded)
        reader = threading.Thread(target=lambda: ours.read(8 * BLOCK, 10))
        reader.start()
        wait_until(lambda: ours.patience.is_away)
        assert ours.disk.read_soon(16 * BLOCK, 10) is None
        assert set(ours.reader.decoded[asked:]) == {8}
        away.heal()
        reader.join(30)
        parts = ours.disk.read_soon(16 * BLOCK, 10)
        assert parts is not None
        assert joined(parts) == SECOND[16 * BLOCK : 16 * BLOCK + 10]


def test_nothing_is_read_ahead_where_readers_keep_every_core_busy(store: MemoryStore) -> None:
    with bench(opened(store), cores=1) as ours:
        ours.read(0, 10)
        for offset in range(0, SIZE, 32768):
            length = min(32768, SIZE - offset)
            parts = ours.disk.read_soon(offset, length)
            assert parts is not None
            assert joined(parts) == SECOND[offset : offset + length]
        assert ours.cache.figures.ahead == 0


def test_a_damaged_frame_hurts_its_range_alone_and_names_it(store: MemoryStore) -> None:
    hurt = store.survivor()
    with bench(opened(hurt)) as ours:
        run = next(iter(ours.reader.runs(8 * BLOCK, BLOCK)))
        assert run.frame is not None
        name, at = run.frame.source.name, run.frame.at
        data = bytearray(hurt.content(name))
        data[at + 1000] ^= 1
        hurt.tamper(name, bytes(data))
        for _ in range(2):
            with pytest.raises(
                Damaged, match=rf"bytes \d+ to \d+ of disk a of machine web at point {GROUP}/\d+"
            ):
                ours.read(8 * BLOCK, 10)
        ours.read(0, 10)
        with pytest.raises(Damaged, match=r"byte \d+ of disk a of web"):
            ours.disk.read_soon(8 * BLOCK, 10)
        assert len(ours.disk.damaged) == 1
        assert ours.read(12 * BLOCK, 4 * BLOCK) == SECOND[12 * BLOCK : 16 * BLOCK]
        assert ours.read(0, 8 * BLOCK) == SECOND[: 8 * BLOCK]


def test_a_store_that_is_away_fails_reads_at_once_if_nobody_may_wait(store: MemoryStore) -> None:
    away = store.survivor()
    with bench(opened(away), seconds=0) as ours:
        ours.read(0, 1)
        away.fail("read", times=1 << 30)
        with pytest.raises(Unavailable, match="disk a of web"):
            ours.read(8 * BLOCK, 10)
        assert ours.patience.is_away
        assert ours.read(0, 100) == SECOND[:100]
        away.heal()
        assert ours.read(8 * BLOCK, 10) == SECOND[8 * BLOCK : 8 * BLOCK + 10]
        assert not ours.patience.is_away


def test_a_read_waits_for_a_store_that_comes_back(store: MemoryStore) -> None:
    away = store.survivor()
    with bench(opened(away), seconds=None) as ours:
        ours.read(0, 1)
        away.fail("read", times=1 << 30)
        seen: list[bytes] = []
        reader = threading.Thread(target=lambda: seen.append(ours.read(8 * BLOCK, 10)))
        reader.start()
        wait_until(lambda: ours.patience.is_away)
        assert ours.read(0, 100) == SECOND[:100]
        assert list(ours.disk.extents(0, BLOCK)) == [(Extent(0, BLOCK), True)]
        away.heal()
        reader.join(30)
        assert seen == [bytes(SECOND[8 * BLOCK : 8 * BLOCK + 10])]


def test_a_read_that_waits_ends_when_it_is_told_to(store: MemoryStore) -> None:
    away = store.survivor()
    with bench(opened(away), seconds=None) as ours:
        away.fail("read", times=1 << 30)
        errors: list[Exception] = []

        def read() -> None:
            try:
                ours.read(0, 10)
            except Unavailable as error:
                errors.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: ours.patience.is_away)
        ours.patience.end()
        reader.join(30)
        assert len(errors) == 1


def test_extents_of_a_store_that_is_away_count_as_data(store: MemoryStore) -> None:
    away = store.survivor()
    with bench(opened(away), seconds=0) as ours:
        ours.patience._away_since = 1.0
        ours.reader.extents = gone
        assert list(ours.disk.extents(BLOCK, 5 * BLOCK)) == [(Extent(BLOCK, 5 * BLOCK), True)]


def gone(offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bool]]:
    raise Unavailable("away")
