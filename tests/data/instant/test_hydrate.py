from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest

from bascule.apps.chance import SystemClock
from bascule.blocks.extents import Extent
from bascule.data.instant import hydrate
from bascule.data.instant.base import joined
from bascule.data.instant.courtesy import Courtesy, Traffic
from bascule.data.instant.hydrate import Hydrating, Hydration, Manners
from bascule.data.instant.local import journal
from bascule.data.instant.local_base import LocalBase, throw_away
from bascule.data.instant.point.disk import PointDisk
from bascule.data.instant.point.frames import FrameCache
from bascule.data.instant.point.patience import Patience
from bascule.data.store import BLOCK, Batch, DiskKey, DiskReader
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Unavailable
from tests.data.instant.points import GROUP, MACHINE, content, opened, vault
from tests.data.instant.storm import Disk, StormFolder, Struck

SIZE = 13 * BLOCK + 4321
POINT = content(SIZE)
DATA_BYTES = SIZE - 2 * BLOCK


class Site:
    """A point in a store, a disk to hydrate to, and a process that does it."""

    def __init__(self, objects: MemoryStore, disk: Disk, seconds: float | None = 30) -> None:
        self.disk = disk
        self.reader: DiskReader = opened(objects).peek(GROUP).disk(DiskKey(MACHINE, "a"))
        self.cache = FrameCache()
        self.patience = Patience(SystemClock(), seconds)
        self.point = PointDisk(self.reader, self.cache, self.patience, "disk a of web")
        self.manners = Manners(self.patience, Courtesy(Traffic()), workers=1)
        self.base = LocalBase(StormFolder(disk), self.point, SIZE)
        self.hydration = Hydration(self.reader, self.base, self.manners)

    def run(self) -> None:
        """Hydrate in this thread, so that a stroke ends it here."""
        self.hydration._run()

    def close(self) -> None:
        self.patience.end()
        self.cache.close()

    def everything(self) -> bytes:
        return joined(self.base.read(0, SIZE))


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    objects = MemoryStore()
    vault({"a": POINT}, objects)
    return objects


@pytest.fixture
def site(store: MemoryStore) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(disk: Disk | None = None, objects: MemoryStore = store, seconds: float | None = 30) -> Site:
        made.append(Site(objects, disk or Disk(), seconds))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=[1 << 20, 30], ids=["journal", "snapshots"])
def often(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit after every batch of one frame, and shorten the journal never or always."""
    monkeypatch.setattr(hydrate, "_COMMIT_BYTES", 1)
    monkeypatch.setattr("bascule.data.store.reader._BATCH_BYTES", 1)
    monkeypatch.setattr(journal, "RECORDS_BYTES_MAX", request.param)


def test_a_hydrated_disk_needs_its_point_no_more(site: Callable[..., Site]) -> None:
    ours = site()
    ours.hydration.start()
    assert ours.hydration.wait(30)
    progress = ours.hydration.progress
    assert progress.state is Hydrating.COMPLETE
    assert progress.done_bytes == progress.total_bytes == DATA_BYTES
    alone = LocalBase(StormFolder(ours.disk), None, SIZE)
    assert joined(alone.read(0, SIZE)) == POINT
    assert bytes(ours.disk.names["base"].safe) == POINT


def test_half_a_local_disk_does_not_open_without_its_point(site: Callable[..., Site]) -> None:
    ours = site()
    with pytest.raises(Unavailable, match="only a part"):
        LocalBase(StormFolder(ours.disk), None, SIZE)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power-cut"])
@pytest.mark.parametrize("strike", range(1, 60))
def test_a_crash_at_any_step_costs_no_byte_and_copies_nothing_durable_again(
    site: Callable[..., Site], strike: int, power: bool
) -> None:
    for seed in range(3 if power else 1):
        disk = Disk(Random(seed))
        disk.strike_at = strike
        durable: list[Extent] = []
        ours = None
        with suppress(Struck):
            ours = site(disk)
            note_commits(ours.base, durable)
            ours.run()
        (disk.lose_power if power else disk.die)()
        again = site(disk)
        assert again.everything() == POINT
        copied = note_fills(again.base)
        again.run()
        assert again.hydration.progress.state is Hydrating.COMPLETE
        assert not [e for e in copied if any(e.offset < d.end and d.offset < e.end for d in durable)]
        assert joined(LocalBase(StormFolder(disk), None, SIZE).read(0, SIZE)) == POINT


def test_the_crashes_above_cover_every_step(site: Callable[..., Site], often: None) -> None:
    ours = site()
    ours.run()
    assert ours.disk.operations < 59


def note_commits(base: LocalBase, durable: list[Extent]) -> None:
    commit = base.commit

    def noted(filled: Iterator[Extent]) -> None:
        filled = list(filled)
        commit(filled)
        durable.extend(filled)

    base.commit = noted


def note_fills(base: LocalBase) -> list[Extent]:
    fill, copied = base.fill, []

    def noted(offset: int, data: memoryview) -> None:
        copied.append(Extent(offset, len(data)))
        fill(offset, data)

    base.fill = noted
    return copied


def test_hydrated_ranges_are_read_here_and_the_others_from_the_point(
    site: Callable[..., Site], store: MemoryStore
) -> None:
    objects = store.survivor()
    ours = site(objects=objects, seconds=0)
    batch = next(ours.reader.batches())
    first = next(batch.frames())
    ours.base.fill(*first)
    ours.base.commit([Extent(first[0], len(first[1]))])
    assert ours.everything() == POINT
    objects.fail("read", times=1 << 30)
    assert joined(ours.base.read(first[0], len(first[1]))) == bytes(first[1])
    assert ours.base.is_ready(first[0], 4096)
    assert ours.base.read_soon(first[0], 4096) is None, "the local disk may take its time"
    ours.cache.close()
    ours = site(ours.disk, objects=store)
    assert ours.base.holds(Extent(first[0], len(first[1])))


def test_a_store_that_goes_away_stops_nothing_for_good(
    site: Callable[..., Site], store: MemoryStore, often: None
) -> None:
    for at in range(1, 12):
        objects = store.survivor()
        ours = site(objects=objects, seconds=30)
        objects.fail("read", at=at, times=3)
        ours.run()
        assert ours.hydration.progress.state is Hydrating.COMPLETE
        assert joined(LocalBase(StormFolder(ours.disk), None, SIZE).read(0, SIZE)) == POINT


def test_a_map_that_breaks_off_is_not_the_end_of_the_disk(site: Callable[..., Site]) -> None:
    ours = site()
    whole = ours.reader.batches
    broken = [True]

    def breaking() -> Iterator[Batch]:
        if broken.pop() if broken else False:
            raise Unavailable("no answer")
        yield from whole()

    ours.reader.batches = breaking
    ours.run()
    assert ours.hydration.progress.state is Hydrating.COMPLETE
    assert ours.base.done_bytes == DATA_BYTES


def test_without_patience_a_store_that_is_away_fails_the_hydration(
    site: Callable[..., Site], store: MemoryStore
) -> None:
    objects = store.survivor()
    ours = site(objects=objects, seconds=0)
    objects.fail("read", times=1 << 30)
    ours.run()
    assert ours.hydration.progress.state is Hydrating.FAILED
    assert "made to fail" in ours.hydration.progress.error
    assert not ours.base.is_complete


def test_a_damaged_frame_is_left_out_and_named(site: Callable[..., Site], store: MemoryStore) -> None:
    objects = store.survivor()
    ours = site(objects=objects)
    run = next(run for run in ours.reader.runs() if run.block <= 8 < run.end)
    assert run.frame is not None
    data = bytearray(objects.content(run.frame.source.name))
    data[run.frame.at + 9] ^= 4
    objects.tamper(run.frame.source.name, bytes(data))
    ours.run()
    progress = ours.hydration.progress
    assert progress.state is Hydrating.DAMAGED
    assert f"disk a of machine {MACHINE} at point {GROUP}/" in progress.error
    assert progress.done_bytes == DATA_BYTES - run.span * BLOCK
    assert not ours.base.is_complete
    assert joined(ours.base.read(0, 8 * BLOCK)) == POINT[: 8 * BLOCK]
    with pytest.raises(Damaged):
        ours.base.read(8 * BLOCK, 1)


def test_a_full_local_disk_fails_the_hydration_and_not_the_guest(site: Callable[..., Site]) -> None:
    ours = site()
    ours.disk.room = 5 * BLOCK
    ours.run()
    assert ours.hydration.progress.state is Hydrating.FAILED
    assert not ours.patience.is_away
    assert ours.everything() == POINT
    ours.disk.room = None
    again = site(ours.disk)
    again.run()
    assert again.hydration.progress.state is Hydrating.COMPLETE


def test_a_sync_that_failed_counts_for_nothing(site: Callable[..., Site]) -> None:
    ours = site()
    ours.disk.sync_fails = True
    ours.run()
    assert ours.hydration.progress.state is Hydrating.FAILED
    assert ours.hydration.progress.done_bytes == 0
    assert ours.everything() == POINT
    ours.disk.sync_fails = False
    again = site(ours.disk)
    again.run()
    ours.disk.lose_power()
    assert joined(LocalBase(StormFolder(ours.disk), None, SIZE).read(0, SIZE)) == POINT


def test_it_keeps_its_pace(site: Callable[..., Site], often: None) -> None:
    ours = site()
    spent: list[int] = []

    class Slow:
        def spend(self, count: int, check: Callable[[], None]) -> None:
            spent.append(count)
            check()

    ours.hydration = Hydration(
        ours.reader, ours.base, Manners(ours.patience, Courtesy(Traffic()), Slow(), workers=1)
    )
    ours.run()
    assert len(spent) > 3
    assert sum(spent) >= DATA_BYTES


def test_it_can_be_stopped_while_a_guest_boots(site: Callable[..., Site]) -> None:
    ours = site()
    boots = Courtesy(Traffic(), now=lambda: 0.0, settling_seconds=30)
    ours.hydration = Hydration(ours.reader, ours.base, Manners(ours.patience, boots))
    ours.hydration.start()
    ours.hydration.stop()
    assert ours.hydration.progress.state is Hydrating.STOPPED
    assert ours.hydration.progress.done_bytes == 0


def test_stopping_keeps_what_is_durable(site: Callable[..., Site], often: None) -> None:
    ours = site()
    reached = threading.Event()

    class Once:
        def spend(self, count: int, check: Callable[[], None]) -> None:
            reached.set()
            assert ours.hydration._stopping.wait(30)
            check()

    ours.hydration = Hydration(
        ours.reader, ours.base, Manners(ours.patience, Courtesy(Traffic()), Once(), workers=1)
    )
    ours.hydration.start()
    assert reached.wait(30)
    ours.hydration.stop()
    assert ours.hydration.progress.state is Hydrating.STOPPED
    done = ours.hydration.progress.done_bytes
    assert 0 < done < DATA_BYTES
    assert site(ours.disk).hydration.progress.done_bytes == done


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("strike", range(1, 6))
def test_throwing_a_local_disk_away_leaves_no_block_that_counts(
    site: Callable[..., Site], strike: int, seed: int
) -> None:
    disk = Disk(Random(seed))
    site(disk).run()
    disk.strike_at = disk.operations + strike
    with suppress(Struck):
        throw_away(StormFolder(disk))
    disk.lose_power()
    again = site(disk)
    assert again.everything() == POINT
    again.run()
    assert joined(LocalBase(StormFolder(disk), None, SIZE).read(0, SIZE)) == POINT


def test_batches_that_are_here_are_not_fetched_again(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = site()
    ours.run()
    fetched = []
    frames = Batch.frames

    def noted(self: Batch, scratch: memoryview | None = None) -> Iterator[tuple[int, memoryview]]:
        fetched.append(self)
        return frames(self, scratch)

    monkeypatch.setattr(Batch, "frames", noted)
    again = site(ours.disk)
    again.base.is_complete = False
    again.run()
    assert not fetched


def test_what_an_earlier_disk_left_behind_does_not_show(site: Callable[..., Site]) -> None:
    disk = Disk()
    StormFolder(disk).open("base").write(0, b"x" * SIZE)
    ours = site(disk)
    ours.run()
    assert joined(LocalBase(StormFolder(disk), None, SIZE).read(0, SIZE)) == POINT
