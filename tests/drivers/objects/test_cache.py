from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bascule.drivers.objects.cache import CachingStore
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.errors import Missing, Unavailable
from tests.contracts.objects import ObjectStoreContract, read_range


class TestCachingStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> CachingStore:
        return CachingStore(MemoryStore(), budget=100_000, largest=5000)

    def is_recent(self, modified: float) -> bool:
        return modified == SetClock().now()


class GatedStore(MemoryStore):
    """Holds reads up until the gate opens, and tells that one came."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)
        self.gate = threading.Event()

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        count = super().read(name, offset, buffer)
        self.came.release()
        assert self.gate.wait(30)
        return count


def reads(inner: MemoryStore) -> int:
    return sum(operation.verb == "read" for operation in inner.journal)


def filled(inner: MemoryStore) -> MemoryStore:
    inner.create("a", b"0123456789")
    inner.create("b", b"x" * 1000)
    return inner


def test_a_small_piece_is_fetched_once_and_a_big_one_every_time() -> None:
    inner = filled(MemoryStore())
    store = CachingStore(inner, largest=100)
    for _ in range(3):
        assert read_range(store, "a", 2, 5) == b"23456"
        assert read_range(store, "a", 8, 100) == b"89", "a piece past the end is as good"
    assert reads(inner) == 2
    for _ in range(3):
        assert len(read_range(store, "b", 0, 101)) == 101
    assert reads(inner) == 5


def test_the_callers_buffer_is_not_what_is_kept() -> None:
    store = CachingStore(filled(MemoryStore()))
    buffer = memoryview(bytearray(4))
    store.read("a", 0, buffer)
    buffer[:] = b"...."
    assert read_range(store, "a", 0, 4) == b"0123"


def test_the_budget_holds_and_what_was_used_last_stays() -> None:
    inner = MemoryStore()
    store = CachingStore(inner, budget=10_000, largest=2000)
    for i in range(50):
        inner.create(f"{i:02}", bytes(1000))
        read_range(store, f"{i:02}", 0, 1000)
        read_range(store, "00", 0, 1000)
        assert store.used <= 10_000
    before = reads(inner)
    read_range(store, "00", 0, 1000)
    read_range(store, "49", 0, 1000)
    assert reads(inner) == before
    read_range(store, "01", 0, 1000)
    assert reads(inner) == before + 1


def test_a_deleted_object_is_missing_at_once() -> None:
    inner = filled(MemoryStore())
    store = CachingStore(inner)
    read_range(store, "a", 0, 5)
    store.delete(["a"])
    with pytest.raises(Missing):
        read_range(store, "a", 0, 5)
    assert store.used == 0


def test_a_delete_with_an_unknown_outcome_drops_too() -> None:
    inner = filled(MemoryStore())
    store = CachingStore(inner)
    read_range(store, "a", 0, 5)
    inner.fail("delete", when="after")
    with pytest.raises(Unavailable):
        store.delete(["a"])
    with pytest.raises(Missing):
        read_range(store, "a", 0, 5)


def test_a_name_created_anew_by_us_is_read_anew() -> None:
    inner = filled(MemoryStore())
    store = CachingStore(inner)
    assert read_range(store, "a", 0, 4) == b"0123"
    inner.delete(["a"])
    store.create("a", b"abcd")
    assert read_range(store, "a", 0, 4) == b"abcd"


def test_failures_are_not_kept() -> None:
    inner = filled(MemoryStore())
    store = CachingStore(inner)
    inner.fail("read")
    with pytest.raises(Unavailable):
        read_range(store, "a", 0, 4)
    assert read_range(store, "a", 0, 4) == b"0123"
    with pytest.raises(Missing):
        read_range(store, "c", 0, 4)
    inner.create("c", b"new")
    assert read_range(store, "c", 0, 4) == b"new"


def test_threads_that_want_the_same_piece_fetch_it_once() -> None:
    inner = GatedStore()
    filled(inner)
    store = CachingStore(inner)
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(read_range, store, "a", 0, 10) for _ in range(8)]
        assert inner.came.acquire(timeout=30)
        inner.gate.set()
        assert [result.result(30) for result in results] == [b"0123456789"] * 8
    assert reads(inner) == 1


def test_when_the_one_who_fetches_fails_the_others_fetch_for_themselves() -> None:
    inner = GatedStore()
    filled(inner)
    inner.fail("read", when="after")
    store = CachingStore(inner)

    def first(number: int) -> object:
        try:
            return read_range(store, "a", 0, 10)
        except Unavailable as error:
            return error

    inner.gate.set()
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(first, range(4)))
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 1
    assert outcomes.count(b"0123456789") == 3


def test_a_piece_that_was_under_way_when_its_object_was_deleted_is_not_kept() -> None:
    inner = GatedStore()
    filled(inner)
    store = CachingStore(inner)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(read_range, store, "a", 0, 4)
        assert inner.came.acquire(timeout=30)
        store.delete(["a"])
        store.create("a", b"anew")
        inner.gate.set()
        assert late.result(30) == b"0123"
    assert read_range(store, "a", 0, 4) == b"anew"
