"""What every ObjectStore must keep: one suite, inherited by the tests of each place and each wrapper.

A subclass gives the fixture ``store``, and says where it differs in speed only:
``big`` is the size of a large object, ``many`` the number of names in a long listing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bascule.model.errors import Exists, Missing, Refused
from bascule.ports.objects import ObjectStore

HOSTILE = [
    "",
    "/",
    ".",
    "..",
    "/absolute",
    "ends/with/slash/",
    "two//slashes",
    "../up",
    "a/../b",
    "a/./b",
    "a/..",
    "dot.",
    "a./b",
    "spa ce",
    "new\nline",
    "nul\0",
    "back\\slash",
    "per%2fcent",
    "quest?ion",
    "ha#sh",
    "plus+",
    "co:lon",
    "ünïcode",
    "日本",
    "\udcff",
    "x" * 256,
    "long/" * 120 + "name",
]
GOOD = ["a", "A-Z_0.9~x", ".hidden", "segments/g/s/00000001", "a/b/c/d/e/f/g/h", "x" * 255, "..a/...b"]


def read_all(store: ObjectStore, name: str) -> bytes:
    """Read an object whole, and one byte past its end."""
    buffer = bytearray(store.stat(name).size + 1)
    count = store.read(name, 0, memoryview(buffer))
    return bytes(buffer[:count])


def read_range(store: ObjectStore, name: str, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    return bytes(buffer[: store.read(name, offset, memoryview(buffer))])


def names(store: ObjectStore, prefix: str = "", after: str = "") -> list[str]:
    return [info.name for info in store.list(prefix, after)]


def in_parallel(count: int, work: Callable[[int], object]) -> list[object]:
    """Run ``work(0..count-1)`` in threads that start together; errors come back as results."""
    barrier = threading.Barrier(count)

    def one(number: int) -> object:
        barrier.wait(30)
        try:
            return work(number)
        except Refused as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


class ObjectStoreContract:
    """Inherit, and give the fixture ``store``: an empty store."""

    big = 20 << 20
    many = 3000
    races = 10

    def test_what_was_created_is_read_back(self, store: ObjectStore) -> None:
        data = os.urandom(100_000)
        store.create("a/b", data)
        assert read_all(store, "a/b") == data

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_kind_of_buffer_is_stored(self, store: ObjectStore, kind: type) -> None:
        store.create("a", kind(b"content"))
        assert read_all(store, "a") == b"content"

    def test_a_part_of_a_buffer_is_stored_and_the_buffer_is_free_afterwards(self, store: ObjectStore) -> None:
        buffer = bytearray(b"0123456789")
        store.create("a", memoryview(buffer)[2:5])
        buffer[:] = b"xxxxxxxxxx"
        buffer.append(1)
        assert read_all(store, "a") == b"234"

    def test_an_empty_object_exists_and_has_no_bytes(self, store: ObjectStore) -> None:
        store.create("empty", b"")
        assert store.stat("empty").size == 0
        assert read_range(store, "empty", 0, 10) == b""
        assert names(store) == ["empty"]

    def test_a_big_object_comes_back_whole_and_in_parts(self, store: ObjectStore) -> None:
        data = os.urandom(1 << 20) * (self.big >> 20) + b"tail"
        store.create("big", data)
        assert store.stat("big").size == len(data)
        assert read_all(store, "big") == data
        assert read_range(store, "big", self.big - 70_000, 200_000) == data[-70_004:]
        assert read_range(store, "big", 1_048_575, 65_536) == data[1_048_575 : 1_048_575 + 65_536]

    def test_a_second_create_is_refused_and_changes_nothing(self, store: ObjectStore) -> None:
        store.create("points/g/1", b"first")
        with pytest.raises(Exists):
            store.create("points/g/1", b"second, and longer")
        assert read_all(store, "points/g/1") == b"first"

    def test_of_racing_creators_one_wins_and_its_bytes_stay(self, store: ObjectStore) -> None:
        for turn in range(self.races):
            name = f"race/{turn}/point"
            results = in_parallel(4, lambda i, name=name: store.create(name, b"%d" % i * 5000))
            winners = [i for i, result in enumerate(results) if result is None]
            assert len(winners) == 1, results
            assert sum(isinstance(result, Exists) for result in results) == 3
            assert read_all(store, name) == b"%d" % winners[0] * 5000

    def test_ranges_stop_at_the_end_of_the_object(self, store: ObjectStore) -> None:
        store.create("a", b"0123456789")
        assert read_range(store, "a", 0, 10) == b"0123456789"
        assert read_range(store, "a", 7, 10) == b"789"
        assert read_range(store, "a", 9, 1) == b"9"
        assert read_range(store, "a", 10, 5) == b""
        assert read_range(store, "a", 1000, 5) == b""
        assert read_range(store, "a", 3, 0) == b""

    def test_a_read_leaves_the_rest_of_the_buffer_alone(self, store: ObjectStore) -> None:
        store.create("a", b"0123456789")
        buffer = bytearray(b"." * 8)
        assert store.read("a", 6, memoryview(buffer)) == 4
        assert buffer == b"6789...."

    def test_an_absent_object_is_missing(self, store: ObjectStore) -> None:
        store.create("a/b", b"x")
        for name in ("b", "a", "a/c", "a/b/c"):
            with pytest.raises(Missing):
                store.stat(name)
            with pytest.raises(Missing):
                read_range(store, name, 0, 10)
            with pytest.raises(Missing):
                read_range(store, name, 10, 10)

    def test_stat_tells_size_and_age(self, store: ObjectStore) -> None:
        store.create("a/b", b"x" * 1234)
        info = store.stat("a/b")
        assert (info.name, info.size) == ("a/b", 1234)
        assert info == next(store.list("a/"))
        assert self.is_recent(info.modified)

    def is_recent(self, modified: float) -> bool:
        return abs(modified - time.time()) < 120

    def test_a_listing_is_in_name_order_whatever_the_folders(self, store: ObjectStore) -> None:
        created = ["b", "a/c", "a-b", "a0", "a.b", "a~", "a/b/c", "a/b-c", "A", "a/b.c", "zz/1/2/3", "_x"]
        for name in created:
            store.create(name, b"")
        assert names(store) == sorted(created)
        for name in ["", *sorted(created), "a/", "a/a", "a/b/", "zzz", "0"]:
            assert names(store, after=name) == [one for one in sorted(created) if one > name]

    def test_a_prefix_is_a_plain_string_and_no_folder(self, store: ObjectStore) -> None:
        created = sorted(["p/10", "p/1/x", "p/11", "p1", "p/2", "q", "p/1-"])
        for name in created:
            store.create(name, b"")
        for prefix in ("", "p", "p/", "p/1", "p/1/", "p/1/x", "p/1/xy", "x", "p/10/"):
            wanted = [name for name in created if name.startswith(prefix)]
            assert names(store, prefix) == wanted, prefix
            assert names(store, prefix, after="p/1/x") == [one for one in wanted if one > "p/1/x"], prefix
            assert names(store, prefix, after="p/10") == [one for one in wanted if one > "p/10"], prefix

    def test_a_long_listing_is_complete_and_can_be_taken_up_anywhere(self, store: ObjectStore) -> None:
        created = sorted(f"points/g{i % 3}/{i:08}" for i in range(self.many))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: store.create(name, b"1"), created))
        assert names(store) == created
        middle = created[len(created) // 2]
        assert names(store, after=middle) == created[len(created) // 2 + 1 :]
        assert names(store, "points/g1/") == [name for name in created if name.startswith("points/g1/")]
        store.delete(created)
        assert names(store) == []

    def test_an_unfinished_listing_can_be_dropped(self, store: ObjectStore) -> None:
        for i in range(20):
            store.create(f"a/{i:02}", b"")
        assert next(store.list("a/")).name == "a/00"
        assert next(store.list("a/", after="a/07")).name == "a/08"

    def test_deleted_objects_are_gone_and_absent_ones_are_no_error(self, store: ObjectStore) -> None:
        for name in ("a/1", "a/2", "b"):
            store.create(name, b"x")
        store.delete(["a/1", "never/was", "a/1", "b", "a"])
        assert names(store) == ["a/2"]
        with pytest.raises(Missing):
            read_range(store, "a/1", 0, 1)
        store.delete([])
        store.delete(iter(["a/2", "a/2"]))
        assert names(store) == []

    def test_a_name_that_was_deleted_can_be_created_anew(self, store: ObjectStore) -> None:
        for content in (b"one", b"another"):
            store.create("a/b/c", content)
            assert read_all(store, "a/b/c") == content
            store.delete(["a/b/c"])

    @pytest.mark.parametrize("name", GOOD, ids=lambda name: name[:20])
    def test_names_out_of_the_charset_of_the_port_are_taken(self, store: ObjectStore, name: str) -> None:
        store.create(name, b"content")
        assert read_all(store, name) == b"content"
        assert names(store) == [name]
        store.delete([name])
        assert names(store) == []

    @pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:20]))
    def test_hostile_names_are_refused_by_every_verb(self, store: ObjectStore, name: str) -> None:
        verbs: list[Callable[[], object]] = [
            lambda: store.create(name, b"x"),
            lambda: store.read(name, 0, memoryview(bytearray(1))),
            lambda: store.stat(name),
            lambda: store.delete([name]),
        ]
        for verb in verbs:
            with pytest.raises(Refused) as caught:
                verb()
            assert not isinstance(caught.value, (Missing, Exists))
        assert names(store) == []

    @pytest.mark.parametrize("prefix", ["../", "a/../", "/", "a//", "ü", "a b", "%2e%2e/", "./"])
    def test_hostile_prefixes_are_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(Refused):
            names(store, prefix)

    def test_many_threads_use_one_store(self, store: ObjectStore) -> None:
        content = {f"t/{i}": os.urandom(2000) for i in range(24)}

        def work(number: int) -> None:
            for name in list(content)[number * 6 : number * 6 + 6]:
                store.create(name, content[name])
            for name in list(content)[number * 6 : number * 6 + 6]:
                assert read_all(store, name) == content[name]

        assert in_parallel(4, work) == [None] * 4
        assert {name: read_all(store, name) for name in names(store)} == content
