from __future__ import annotations

import functools
import operator
import os
from threading import Event, get_ident

import pytest

from bascule.blocks.cut import UNIT
from bascule.blocks.extents import Extent
from bascule.data.pipeline.durable import Leftovers
from bascule.data.pipeline.flow.buffers import Buffer
from bascule.data.pipeline.pump import pump
from bascule.data.pipeline.units import Task, Unit, plan
from bascule.data.store import DiskKey
from bascule.model.errors import Unavailable
from tests.data.pipeline.worlds import Image, World, no_thread_left, noise

WAIT = 20


class Noting:
    """A worker that notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.has_ended = False

    def take(self, unit: Unit, buffer: Buffer) -> None:
        self.seen.append(bytes(buffer.view[: unit.read_bytes]))

    def end(self) -> None:
        self.has_ended = True


def task(source: Image) -> Task:
    return Task(DiskKey("vm", "sda"), source, False, Leftovers(lambda: ()))


@pytest.mark.parametrize("readers", [0, 2])
def test_every_unit_reaches_one_worker_as_it_was_read(readers: int) -> None:
    disk, workers = noise(20 * UNIT, 1), [Noting() for _ in range(3)]
    with no_thread_left():
        pump(plan([task(Image(disk))], 1 << 40), workers, World().conduct(), readers)
    assert sorted(functools.reduce(operator.iadd, (worker.seen for worker in workers), [])) == sorted(
        disk[at : at + UNIT] for at in range(0, len(disk), UNIT)
    )
    assert all(worker.has_ended for worker in workers)


@pytest.mark.parametrize("readers", [0, 2])
def test_workers_take_what_guests_and_other_threads_leave_of_the_processor(readers: int) -> None:
    own, found = os.nice(0), []

    class Telling(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            found.append(os.nice(0))

    pump(plan([task(Image(noise(UNIT, 1)))], 1 << 40), [Telling()], World().conduct(), readers)
    assert min(found) > own
    assert os.nice(0) == own


def test_the_source_is_read_ahead_while_a_worker_works() -> None:
    ahead = Event()

    class Telling(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            super().read_into(offset, buffer)
            if len(self.diary) == 3:
                ahead.set()

    class Waiting(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            assert ahead.wait(WAIT), "nothing is read while a worker works"
            super().take(unit, buffer)

    worker = Waiting()
    pump(plan([task(Telling(noise(5 * UNIT, 1)))], 1 << 40), [worker], World().conduct(), 1)
    assert len(worker.seen) == 5


def test_without_readers_whoever_works_has_read_it_himself() -> None:
    readers: set[int] = set()

    class Telling(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            super().read_into(offset, buffer)
            readers.add(get_ident())

    class Knowing(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            super().take(unit, buffer)
            assert get_ident() in readers

    worker = Knowing()
    pump(plan([task(Telling(noise(5 * UNIT, 1)))], 1 << 40), [worker], World().conduct(), 0)
    assert (len(worker.seen), len(readers)) == (5, 1)


def test_a_near_source_learns_of_every_unit_before_it_is_read() -> None:
    class Asking(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            assert Extent(offset, len(buffer)) in self.expected
            super().read_into(offset, buffer)

    source, worker = Asking(noise(5 * UNIT, 1), is_near=True), Noting()
    pump(plan([task(source)], 1 << 40), [worker], World().conduct(), 0)
    assert source.expected == source.diary


def test_there_are_no_more_readers_than_conduct_allows() -> None:
    names: set[int] = set()

    class Telling(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            super().read_into(offset, buffer)
            names.add(get_ident())

    pump(plan([task(Telling(noise(9 * UNIT, 1)))], 1 << 40), [Noting()], World().conduct(readers=1), 3)
    assert len(names) == 1


def test_readers_run_ahead_only_as_far_as_there_are_buffers() -> None:
    source, looked = Image(noise(40 * UNIT, 1)), []

    class Slow(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            looked.append(len(source.diary) - len(self.seen))
            super().take(unit, buffer)

    pump(plan([task(source)], 1 << 40), [Slow()], World().conduct(), 2)
    assert max(looked) <= 2 + 2


@pytest.mark.parametrize("readers", [0, 3])
@pytest.mark.parametrize("ending", [False, True])
def test_a_worker_that_fails_ends_readers_and_workers(ending: bool, readers: int) -> None:
    class Failing(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            if not ending:
                raise Unavailable("no room")

        def end(self) -> None:
            raise Unavailable("no room")

    workers = [Noting(), Failing()]
    with no_thread_left(), pytest.raises(Unavailable, match="no room"):
        pump(plan([task(Image(noise(20 * UNIT, 1)))], 1 << 40), workers, World().conduct(), readers)
