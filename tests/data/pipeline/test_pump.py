from __future__ import annotations

import functools
import operator
from threading import Event

import pytest

from bascule.blocks.cut import UNIT
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


def test_every_unit_reaches_one_worker_as_it_was_read() -> None:
    disk, workers = noise(20 * UNIT, 1), [Noting() for _ in range(3)]
    with no_thread_left():
        pump(plan([task(Image(disk))], 1 << 40), workers, World().conduct(readers=2))
    assert sorted(functools.reduce(operator.iadd, (worker.seen for worker in workers), [])) == sorted(
        disk[at : at + UNIT] for at in range(0, len(disk), UNIT)
    )
    assert all(worker.has_ended for worker in workers)


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
    pump(plan([task(Telling(noise(5 * UNIT, 1)))], 1 << 40), [worker], World().conduct(readers=1))
    assert len(worker.seen) == 5


def test_readers_run_ahead_only_as_far_as_there_are_buffers() -> None:
    source, looked = Image(noise(40 * UNIT, 1)), []

    class Slow(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            looked.append(len(source.diary) - len(self.seen))
            super().take(unit, buffer)

    pump(plan([task(source)], 1 << 40), [Slow()], World().conduct(readers=2))
    assert max(looked) <= 2 + 2


@pytest.mark.parametrize("ending", [False, True])
def test_a_worker_that_fails_ends_readers_and_workers(ending: bool) -> None:
    class Failing(Noting):
        def take(self, unit: Unit, buffer: Buffer) -> None:
            if not ending:
                raise Unavailable("no room")

        def end(self) -> None:
            raise Unavailable("no room")

    workers = [Noting(), Failing()]
    with no_thread_left(), pytest.raises(Unavailable, match="no room"):
        pump(plan([task(Image(noise(20 * UNIT, 1)))], 1 << 40), workers, World().conduct(readers=3))
