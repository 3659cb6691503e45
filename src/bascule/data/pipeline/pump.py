"""Keeps workers fed: reader threads fill buffers a little ahead of the threads that use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from .flow.buffers import Buffer
from .flow.conduct import Conduct
from .flow.crew import Shared, together
from .flow.queues import Channel
from .units import Unit


class Worker(Protocol):
    """Uses units; only ever called by one thread."""

    def take(self, unit: Unit, buffer: Buffer) -> None:
        """Do the work of one unit, unless cancelled; the buffer is another's afterwards."""

    def end(self) -> None:
        """There are no more units."""


class _Filled(NamedTuple):
    unit: Unit
    buffer: Buffer


def pump(
    units: Iterator[Unit], workers: Sequence[Worker], conduct: Conduct, readers: int | None = None
) -> None:
    """Read every unit once and hand it to one of the workers; return when all have ended.

    ``readers`` are as many as ``conduct`` says, or fewer where so many would only get in each other's way.
    Raises what a source or a worker raised first, or Cancelled, once no thread is left.
    """
    readers = conduct.readers if readers is None else min(readers, conduct.readers)
    count = readers + 2 * len(workers)
    free: Channel[Buffer] = Channel(count)
    filled: Channel[_Filled] = Channel(len(workers), producers=readers)
    shared = Shared(units)

    def read() -> None:
        for unit in shared:
            conduct.cancel.check()
            buffer = free.get()
            unit.fill(buffer)
            filled.put(_Filled(unit, buffer))
        filled.done()

    def work(worker: Worker) -> None:
        for unit, buffer in filled:
            worker.take(unit, buffer)
            conduct.meter.add(unit.read_bytes)
            free.put(buffer)
        worker.end()

    def stop(reason: BaseException) -> None:
        shared.stop(reason)
        free.fail(reason)
        filled.fail(reason)

    with conduct.buffers.lent(count) as buffers:
        for buffer in buffers:
            free.put(buffer)
        together("pump", [read] * readers + [partial(work, worker) for worker in workers], stop)
