from __future__ import annotations

import pytest

from bascule.drivers.objects.memory import Crash, MemoryStore, Operation, SetClock
from bascule.model.errors import Exists, Missing, Unavailable
from tests.contracts.objects import ObjectStoreContract, read_all


class TestMemoryStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def is_recent(self, modified: float) -> bool:
        return modified == SetClock().now()


def test_the_clock_of_the_store_can_be_set() -> None:
    clock = SetClock(1000.0)
    store = MemoryStore(clock)
    store.create("a", b"")
    clock.time = 5000.0
    store.create("b", b"")
    assert [info.modified for info in store.list("")] == [1000.0, 5000.0]


def test_a_failure_before_the_effect_leaves_nothing() -> None:
    store = MemoryStore()
    store.fail("create", at=2)
    store.create("a", b"")
    with pytest.raises(Unavailable):
        store.create("b", b"")
    assert store.names() == ("a",)
    store.create("b", b"")


def test_a_failure_after_the_effect_leaves_the_object() -> None:
    store = MemoryStore()
    store.fail("create", when="after")
    with pytest.raises(Unavailable):
        store.create("a", b"x")
    assert store.content("a") == b"x"
    with pytest.raises(Exists):
        store.create("a", b"x")


@pytest.mark.parametrize("verb", ["create", "read", "stat", "list", "delete"])
def test_every_verb_can_be_made_to_fail_for_a_while(verb: str) -> None:
    store = MemoryStore()
    store.create("a", b"x")
    store.fail(verb, times=2)
    verbs = {
        "create": lambda: store.create("b", b""),
        "read": lambda: store.read("a", 0, memoryview(bytearray(1))),
        "stat": lambda: store.stat("a"),
        "list": lambda: list(store.list("")),
        "delete": lambda: store.delete(["a"]),
    }
    for _ in range(2):
        with pytest.raises(Unavailable):
            verbs[verb]()
    verbs[verb]()


def test_failures_can_be_confined_to_a_prefix() -> None:
    store = MemoryStore()
    store.fail(prefix="points/")
    store.create("segments/1", b"")
    with pytest.raises(Unavailable):
        store.create("points/1", b"")


@pytest.mark.parametrize(("when", "left"), [("before", ("2", "3")), ("after", ("3",))])
def test_the_power_is_cut_inside_a_batch_of_deletes_and_stays_off(when: str, left: tuple[str, ...]) -> None:
    store = MemoryStore()
    for name in ("1", "2", "3"):
        store.create(name, b"x")
    store.crash("delete", at=2, when=when)
    with pytest.raises(Crash):
        store.delete(["1", "2", "3"])
    for verb in (lambda: store.create("4", b""), lambda: store.stat("3"), lambda: list(store.list(""))):
        with pytest.raises(Crash):
            verb()
    survivor = store.survivor()
    assert survivor.names() == left
    survivor.create("4", b"")
    assert "4" not in store.names()


def test_a_crash_without_verbs_counts_what_changes_something() -> None:
    store = MemoryStore()
    store.crash(at=3)
    store.create("a", b"x")
    assert read_all(store, "a") == b"x"
    store.delete(["a"])
    with pytest.raises(Crash):
        store.create("b", b"")


def test_the_journal_tells_what_took_effect_in_order() -> None:
    store = MemoryStore()
    store.fail("delete")
    store.create("a", b"")
    with pytest.raises(Exists):
        store.create("a", b"")
    with pytest.raises(Unavailable):
        store.delete(["a"])
    list(store.list("a"))
    assert store.journal == [
        Operation("create", "a", True),
        Operation("create", "a", False),
        Operation("delete", "a", False),
        Operation("list", "a", True),
    ]


def test_a_test_can_change_or_lose_an_object_behind_the_users_back() -> None:
    store = MemoryStore()
    store.create("a", b"x")
    store.tamper("a", b"yy")
    assert read_all(store, "a") == b"yy"
    store.tamper("a", None)
    with pytest.raises(Missing):
        store.stat("a")
