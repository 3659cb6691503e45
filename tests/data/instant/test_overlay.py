from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.blocks.extents import Extent
from bascule.data.instant.base import joined
from bascule.data.instant.local import journal
from bascule.data.instant.local.folder import LocalFolder
from bascule.data.instant.overlay import GuestSince, Overlay
from bascule.model.errors import Damaged, Refused, Unavailable
from tests.data.instant.points import PlainBase, content
from tests.data.instant.storm import Disk, StormFile, StormFolder, Struck
from tests.properties import share

SECTOR = 4096
SIZE = 9 * SECTOR + 700
POINT = content(SIZE, seed=999_983)


def opened(disk: Disk, boot: str = "boot-1", guest: GuestSince = GuestSince.LOCAL) -> Overlay:
    return Overlay.open(StormFolder(disk), PlainBase(POINT), boot=boot, guest=guest)


def everything(overlay: Overlay) -> bytes:
    return joined(overlay.read(0, SIZE))


def sectors(data: bytes | bytearray) -> list[bytes]:
    return [bytes(data[at : at + SECTOR]) for at in range(0, SIZE, SECTOR)]


class Oracle:
    """What each sector may hold: now, and after a power cut."""

    def __init__(self) -> None:
        self.now = bytearray(POINT)
        self.next = bytearray(POINT)
        self.maybe = [{sector} for sector in sectors(POINT)]

    def begin(self, offset: int, data: bytes) -> None:
        self.next[offset : offset + len(data)] = data
        for allowed, sector in zip(self.maybe, sectors(self.next), strict=True):
            allowed.add(sector)

    def acknowledged(self) -> None:
        self.now[:] = self.next

    def flushed(self) -> None:
        self.maybe = [{sector} for sector in sectors(self.now)]

    def check_after_death(self, seen: bytes) -> None:
        for found, old, new in zip(sectors(seen), sectors(self.now), sectors(self.next), strict=True):
            assert found in (old, new)
        self._accept(seen)

    def check_after_power_cut(self, seen: bytes) -> None:
        for found, allowed in zip(sectors(seen), self.maybe, strict=True):
            assert found in allowed
        self._accept(seen)
        self.flushed()

    def _accept(self, seen: bytes) -> None:
        self.now[:] = self.next[:] = seen


Step = tuple[str, int, int, int]
offsets = st.one_of(st.integers(0, SIZE - 1), st.integers(0, 9).map(lambda n: n * SECTOR))
lengths = st.one_of(st.integers(1, 3 * SECTOR), st.integers(1, 4).map(lambda n: n * SECTOR))
verbs = st.sampled_from(["write", "write", "write", "zero", "trim", "flush"])
steps = st.tuples(verbs, offsets, lengths, st.integers(0, 2**32))
crashes = st.tuples(st.lists(steps, max_size=12), st.integers(1, 90), st.booleans(), st.integers(0, 2**32))


def act(overlay: Overlay, oracle: Oracle, step: Step) -> None:
    verb, offset, length, seed = step
    length = min(length, SIZE - offset)
    if verb == "write":
        data = Random(seed).randbytes(length)
        oracle.begin(offset, data)
        overlay.write(offset, memoryview(data))
    elif verb == "zero":
        oracle.begin(offset, bytes(length))
        overlay.zero(offset, length)
    elif verb == "trim":
        first = -(-offset // SECTOR) * SECTOR
        last = SIZE if offset + length == SIZE else (offset + length) // SECTOR * SECTOR
        oracle.begin(first, bytes(max(last - first, 0)))
        overlay.trim(offset, length)
    else:
        overlay.flush()
    oracle.acknowledged()
    if verb == "flush":
        oracle.flushed()


def work(overlay: Overlay, oracle: Oracle, plan: list[Step]) -> None:
    for step in plan:
        act(overlay, oracle, step)
        assert everything(overlay) == oracle.now


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("records_max", [1 << 20, 60])
def test_no_crash_tears_a_sector_or_loses_what_was_promised(
    records_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RECORDS_BYTES_MAX", records_max)

    @settings(max_examples=share(4))
    @given(st.lists(crashes, min_size=1, max_size=4))
    def storm(sessions: list[tuple[list[Step], int, bool, int]]) -> None:
        disk, oracle, boot = Disk(Random(0)), Oracle(), 0
        for plan, strike, power, seed in sessions:
            disk.chance.seed(seed)
            disk.strike_at = disk.operations + strike
            with suppress(Struck):
                work(opened(disk, f"boot-{boot}"), oracle, plan)
            disk.die()
            if power:
                disk.lose_power()
                boot += 1
            overlay = opened(disk, f"boot-{boot}")
            check = oracle.check_after_power_cut if power else oracle.check_after_death
            check(everything(overlay))
            disk.die()

    storm()


@pytest.mark.parametrize("strike", range(1, 25))
def test_a_commit_that_nobody_synced_frees_no_home(strike: int) -> None:
    for seed in range(12):
        disk, oracle = Disk(Random(seed)), Oracle()
        disk.strike_at = disk.operations + 8 + strike
        with suppress(Struck):
            work(opened(disk), oracle, [(verb, 0, SIZE, n) for n in (1, 2, 3) for verb in ("write", "flush")])
        disk.die()
        again = opened(disk)
        oracle.check_after_death(everything(again))
        work(again, oracle, [("write", 0, SIZE, 4)])
        disk.lose_power()
        oracle.check_after_power_cut(everything(opened(disk, "boot-2")))


@pytest.mark.parametrize("strike", range(1, 14))
def test_an_overlay_whose_maker_died_keeps_what_is_flushed_into_it(strike: int) -> None:
    for seed in range(12):
        disk, oracle = Disk(Random(seed)), Oracle()
        disk.strike_at = strike
        with suppress(Struck):
            opened(disk)
        disk.die()
        work(opened(disk), oracle, [("write", 0, SIZE, 1), ("flush", 0, 1, 0)])
        disk.lose_power()
        oracle.check_after_power_cut(everything(opened(disk, "boot-2")))


def test_a_flush_that_found_no_room_frees_no_home() -> None:
    for seed in range(12):
        disk, oracle = Disk(Random(seed)), Oracle()
        overlay = opened(disk)
        work(overlay, oracle, [("write", 0, SIZE, 1), ("flush", 0, 1, 0), ("write", 0, SIZE, 2)])
        disk.room = 0
        with pytest.raises(Unavailable):
            overlay.flush()
        disk.room = None
        work(overlay, oracle, [("write", 0, SIZE, 3)])
        disk.lose_power()
        oracle.check_after_power_cut(everything(opened(disk, "boot-2")))


@settings(max_examples=share(0.6))
@given(st.lists(steps, max_size=10))
def test_what_was_written_is_known_and_nothing_else(plan: list[Step]) -> None:
    overlay, oracle = opened(Disk()), Oracle()
    work(overlay, oracle, plan)
    delta = list(overlay.written())
    seen = bytearray(POINT)
    for extent in delta:
        assert extent.end <= SIZE
        seen[extent.offset : extent.end] = oracle.now[extent.offset : extent.end]
    assert seen == oracle.now
    assert all(a.end < b.offset for a, b in pairwise(delta))


@settings(max_examples=share(0.6))
@given(st.lists(steps, max_size=10), offsets, lengths)
def test_extents_cover_a_range_and_never_call_data_a_hole(plan: list[Step], offset: int, length: int) -> None:
    overlay, oracle = opened(Disk()), Oracle()
    work(overlay, oracle, plan)
    at = offset
    end = min(offset + length, SIZE)
    for extent, data in overlay.extents(offset, end - offset):
        assert extent.offset == at
        assert data or not any(oracle.now[extent.offset : extent.end])
        at = extent.end
    assert at == end


def test_a_fresh_overlay_shows_the_point_and_an_untouched_delta() -> None:
    overlay = opened(Disk())
    assert everything(overlay) == POINT
    assert list(overlay.written()) == []
    assert overlay.size_bytes == SIZE


def test_only_what_the_guest_left_alone_is_read_soon() -> None:
    overlay = opened(Disk())
    overlay.write(2 * SECTOR, memoryview(b"a" * SECTOR))
    parts = overlay.read_soon(5, 2 * SECTOR - 5)
    assert parts is not None
    assert joined(parts) == POINT[5 : 2 * SECTOR]
    assert overlay.read_soon(SECTOR, SECTOR + 1) is None
    assert overlay.read_soon(3 * SECTOR - 1, 2) is None


def test_trimmed_ranges_are_holes_and_part_of_the_delta() -> None:
    overlay = opened(Disk())
    overlay.trim(SECTOR, 4 * SECTOR)
    assert list(overlay.extents(0, 6 * SECTOR)) == [
        (Extent(0, SECTOR), True),
        (Extent(SECTOR, 4 * SECTOR), False),
        (Extent(5 * SECTOR, SECTOR), True),
    ]
    assert list(overlay.written()) == [Extent(SECTOR, 4 * SECTOR)]


def test_writes_wait_for_a_flush_only_where_it_works() -> None:
    disk = Disk()
    overlay = opened(disk)
    overlay.write(0, memoryview(b"a" * SECTOR))
    reached, go_on = threading.Event(), threading.Event()

    class SlowFile(StormFile):
        def sync(self) -> None:
            reached.set()
            assert go_on.wait(30)
            super().sync()

    for home, file in overlay._files.items():
        overlay._files[home] = SlowFile(disk, file._inode)
    flush = threading.Thread(target=overlay.flush)
    flush.start()
    assert reached.wait(30)
    overlay.write(2 * SECTOR, memoryview(b"b" * SECTOR))
    assert everything(overlay)[: 3 * SECTOR : SECTOR] == b"a" + POINT[SECTOR : SECTOR + 1] + b"b"
    again = threading.Thread(target=overlay.write, args=(0, memoryview(b"c" * SECTOR)))
    again.start()
    again.join(0.1)
    assert again.is_alive()
    go_on.set()
    for thread in (flush, again):
        thread.join(30)
        assert not thread.is_alive()
    assert everything(overlay)[0:1] == b"c"
    disk.lose_power()
    seen = sectors(everything(opened(disk, "boot-2")))
    assert (seen[0], seen[2]) == (b"a" * SECTOR, sectors(POINT)[2])


def fill(overlay: Overlay) -> None:
    overlay.write(0, memoryview(b"1" * SIZE))
    overlay.flush()
    overlay.write(0, memoryview(b"2" * SIZE))


def test_after_a_failed_sync_nothing_is_promised_any_more() -> None:
    disk = Disk()
    overlay = opened(disk)
    fill(overlay)
    disk.sync_fails = True
    for refused in (overlay.flush, overlay.flush, lambda: overlay.write(0, memoryview(b"x"))):
        with pytest.raises(Unavailable, match="takes no more writes"):
            refused()
    disk.die()
    disk.sync_fails = False
    for guest in (GuestSince.LOCAL, GuestSince.REMOTE):
        with pytest.raises(Damaged, match="lost writes"):
            opened(disk, guest=guest)
        disk.die()
    overlay = opened(disk, guest=GuestSince.RESET)
    assert overlay.fell_back
    assert everything(overlay) == b"1" * SIZE
    disk.die()
    assert everything(opened(disk)) == b"1" * SIZE


def test_a_power_cut_says_whether_it_cost_anything() -> None:
    disk = Disk(Random(3))
    overlay = opened(disk)
    overlay.write(0, memoryview(b"1" * SIZE))
    overlay.flush()
    disk.lose_power()
    assert not opened(disk, "boot-2").fell_back
    disk.die()
    overlay = opened(disk, "boot-2")
    overlay.write(0, memoryview(b"2" * SIZE))
    disk.names["map"].sync()
    disk.lose_power()
    with pytest.raises(Damaged, match="reset the guest"):
        opened(disk, "boot-3", GuestSince.REMOTE)
    disk.die()
    overlay = opened(disk, "boot-3")
    assert overlay.fell_back
    assert everything(overlay) == b"1" * SIZE


@pytest.mark.parametrize("records_max", [1 << 20, 1])
@pytest.mark.parametrize("room", [0, 30, 5000, SIZE + 10])
def test_a_full_disk_refuses_writes_and_loses_nothing(
    room: int, records_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RECORDS_BYTES_MAX", records_max)
    disk = Disk()
    overlay = opened(disk)
    fill(overlay)
    disk.room = room
    said = []
    for deed in (lambda: overlay.write(0, memoryview(b"3" * SIZE)), overlay.flush):
        try:
            deed()
        except Unavailable as error:
            said.append(error.code)
    assert set(said) <= {"no-room"}
    assert said or room > SIZE
    assert set(sectors(everything(overlay))) <= {*sectors(b"2" * SIZE), *sectors(b"3" * SIZE)}
    disk.room = None
    overlay.write(0, memoryview(b"4" * SIZE))
    overlay.flush()
    disk.lose_power()
    assert everything(opened(disk, "boot-2")) == b"4" * SIZE


def test_partial_writes_over_a_point_that_is_away_fail_and_change_nothing() -> None:
    class AwayBase(PlainBase):
        def read(self, offset: int, length: int) -> list[tuple[int, memoryview | None]]:
            raise Unavailable("the store does not answer")

    overlay = Overlay.open(StormFolder(Disk()), AwayBase(POINT), boot="boot-1")
    with pytest.raises(Unavailable):
        overlay.write(100, memoryview(b"x"))
    overlay.write(0, memoryview(b"y" * SECTOR))
    overlay.write(100, memoryview(b"z"))
    assert joined(overlay.read(0, SECTOR)) == b"y" * 100 + b"z" + b"y" * (SECTOR - 101)
    assert list(overlay.written()) == [Extent(0, SECTOR)]


def on_disk(folder: LocalFolder) -> Overlay:
    return Overlay.open(folder, PlainBase(POINT))


def test_two_owners_are_refused(tmp_path: Path) -> None:
    ours = on_disk(LocalFolder(tmp_path))
    with pytest.raises(Refused, match=r"in use by another process \(pid \d+\)"):
        on_disk(LocalFolder(tmp_path))
    ours.close()
    on_disk(LocalFolder(tmp_path)).close()


def test_an_overlay_over_a_disk_of_another_size_is_refused(tmp_path: Path) -> None:
    on_disk(LocalFolder(tmp_path)).close()
    with pytest.raises(Refused, match="belongs to a disk of"):
        Overlay.open(LocalFolder(tmp_path), PlainBase(POINT + b"more"))


def test_zeroes_give_space_back_after_a_flush(tmp_path: Path) -> None:
    size = 8 << 20
    overlay = Overlay.open(LocalFolder(tmp_path), PlainBase(bytes(size)))

    def taken() -> int:
        return (tmp_path / "first").stat().st_blocks * 512

    overlay.write(0, memoryview(b"x" * size))
    overlay.flush()
    assert taken() >= size
    overlay.zero(0, size)
    assert taken() >= size
    overlay.flush()
    assert taken() < size // 8
    overlay.close()


def test_an_overlay_on_a_real_disk_comes_back(tmp_path: Path) -> None:
    oracle = Oracle()
    chance = Random(5)
    deeds: list[Callable[[], Step]] = [
        lambda: ("write", chance.randrange(SIZE), chance.randint(1, 3 * SECTOR), chance.getrandbits(32)),
        lambda: ("zero", chance.randrange(SIZE), chance.randint(1, 3 * SECTOR), 0),
        lambda: ("flush", 0, 1, 0),
    ]
    for _ in range(5):
        overlay = on_disk(LocalFolder(tmp_path))
        assert everything(overlay) == oracle.now
        work(overlay, oracle, [chance.choice(deeds)() for _ in range(30)])
        overlay.close()
