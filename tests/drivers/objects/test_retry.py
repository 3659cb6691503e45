from __future__ import annotations

from collections import Counter

import pytest

from bascule.drivers.objects.memory import Crash, MemoryStore, SetClock
from bascule.drivers.objects.retry import Backoff, RetryingStore
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from tests.contracts.objects import ObjectStoreContract, names, read_all


class Zeroes:
    """The Ids port without surprises."""

    def random(self, count: int) -> bytes:
        return bytes(count)


class CountingClock(SetClock):
    def __init__(self) -> None:
        super().__init__()
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        super().sleep(seconds)


def retrying(inner: MemoryStore, attempts: int = 4) -> tuple[RetryingStore, CountingClock]:
    clock = CountingClock()
    return RetryingStore(inner, clock, Zeroes(), Backoff(attempts, 1.0, 3.0)), clock


class TestRetryingStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> RetryingStore:
        return retrying(MemoryStore())[0]

    def is_recent(self, modified: float) -> bool:
        return modified == SetClock().now()


class TestRetryingStoreOverAPlaceThatLosesAnswers(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> RetryingStore:
        return retrying(Flaky())[0]

    def is_recent(self, modified: float) -> bool:
        return modified == SetClock().now()


class Flaky(MemoryStore):
    """Does what it was asked, and loses every other answer."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: Counter[tuple[str, str]] = Counter()

    def _run(self, verb, name, effect):
        result = super()._run(verb, name, effect)
        if verb != "delete":
            self._lose(verb, name)
        return result

    def delete(self, names):
        super().delete(names)
        self._lose("delete", names[0])

    def _lose(self, verb: str, name: str) -> None:
        self._asked[verb, name] += 1
        if self._asked[verb, name] % 2:
            raise Unavailable("the answer was lost")


VERBS = {
    "create": lambda store: store.create("b", b"x"),
    "read": lambda store: store.read("a", 0, memoryview(bytearray(1))),
    "stat": lambda store: store.stat("a"),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete(["a"]),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_place_that_comes_back_in_time_is_not_noticed(verb: str) -> None:
    inner = MemoryStore()
    inner.create("a", b"x")
    inner.fail(verb, times=3)
    store, clock = retrying(inner)
    VERBS[verb](store)
    assert clock.naps == [0.5, 1.0, 1.5]


@pytest.mark.parametrize("verb", VERBS)
def test_a_place_that_stays_away_is_unavailable_after_the_last_attempt(verb: str) -> None:
    inner = MemoryStore()
    inner.create("a", b"x")
    inner.fail(verb, times=100)
    store, clock = retrying(inner)
    with pytest.raises(Unavailable):
        VERBS[verb](store)
    assert len(clock.naps) == 3


def test_waits_are_between_a_half_and_the_whole_of_what_grows_up_to_the_longest() -> None:
    backoff = Backoff(first_seconds=0.2, longest_seconds=15)
    assert [backoff.delay(n, 0.0) for n in (1, 2, 3, 20, 10_000)] == [0.1, 0.2, 0.4, 7.5, 7.5]
    assert [backoff.delay(n, 1.0) for n in (1, 2, 20)] == [0.2, 0.4, 15.0]


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_refused_is_not_asked_again(verb: str) -> None:
    inner = MemoryStore()
    inner.create("b", b"other")
    store, clock = retrying(inner)
    if verb in ("list", "delete"):
        with pytest.raises(Refused):
            store.delete(["../x"])
    else:
        with pytest.raises((Exists, Missing)):
            VERBS[verb](store)
    assert clock.naps == []


def test_a_crash_is_not_retried() -> None:
    inner = MemoryStore()
    inner.crash()
    store, clock = retrying(inner)
    with pytest.raises(Crash):
        store.create("a", b"x")
    assert clock.naps == []


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_a_create_whose_answer_was_lost_finds_its_own_object(size: int) -> None:
    inner = MemoryStore()
    inner.fail("create", when="after")
    store, _ = retrying(inner)
    store.create("points/g/1", memoryview(bytearray(b"n" * size)))
    assert inner.content("points/g/1") == b"n" * size


def test_a_create_whose_read_back_fails_too_goes_on_until_it_knows() -> None:
    inner = MemoryStore()
    inner.fail("create", when="after")
    inner.fail("stat", "read", times=3)
    store, _ = retrying(inner)
    store.create("a", b"mine")
    done = [operation.verb for operation in inner.journal]
    assert (done.count("create"), done.count("stat"), done.count("read")) == (2, 4, 1)


@pytest.mark.parametrize(
    "foreign", [b"theirs", b"mint", b"mine and more", b""], ids=["other", "same-size", "longer", "empty"]
)
def test_a_foreign_object_after_a_lost_answer_is_still_foreign(foreign: bytes) -> None:
    inner = MemoryStore()
    inner.create("a", foreign)
    inner.fail("create")
    store, _ = retrying(inner)
    with pytest.raises(Exists):
        store.create("a", b"mine")
    assert inner.content("a") == foreign


def test_the_last_byte_of_a_big_object_decides_whose_it_is() -> None:
    inner = MemoryStore()
    ours = bytes(2 << 20) + b"a"
    inner.create("a", ours[:-1] + b"b")
    inner.fail("create")
    with pytest.raises(Exists):
        retrying(inner)[0].create("a", ours)


def test_an_equal_object_that_was_there_before_any_doubt_is_foreign() -> None:
    inner = MemoryStore()
    inner.create("a", b"same")
    with pytest.raises(Exists):
        retrying(inner)[0].create("a", b"same")


def test_a_listing_that_breaks_off_goes_on_where_it_was() -> None:
    class Breaking(MemoryStore):
        def list(self, prefix, after=""):
            for count, info in enumerate(super().list(prefix, after)):
                if count == 3:
                    raise Unavailable("the connection broke")
                yield info

    inner = Breaking()
    for i in range(20):
        inner.create(f"{i:02}", b"")
    store, clock = retrying(inner, attempts=2)
    assert names(store) == [f"{i:02}" for i in range(20)]
    assert len(clock.naps) == 6, "progress starts the count anew"


def test_a_broken_batch_of_deletes_is_finished() -> None:
    inner = MemoryStore()
    for name in "abc":
        inner.create(name, b"")
    inner.fail("delete", at=2, when="after")
    retrying(inner)[0].delete(iter("abc"))
    assert inner.names() == ()


def test_every_batch_of_a_long_delete_has_all_attempts() -> None:
    inner = Flaky()
    store, clock = retrying(inner, attempts=2)
    for i in range(600):
        store.create(f"{i:03}", b"")
    clock.naps.clear()
    store.delete(f"{i:03}" for i in range(600))
    assert len(clock.naps) == 3
    assert inner.names() == ()


def test_reads_are_whole_after_a_failure() -> None:
    inner = MemoryStore()
    inner.create("a", b"0123456789")
    inner.fail("read", when="after")
    assert read_all(retrying(inner)[0], "a") == b"0123456789"
