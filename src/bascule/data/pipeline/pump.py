"""Keeps workers fed: they read near disks themselves; of others, reader threads fill buffers a little ahead.

What a worker reads itself is in its core's cache when it is hashed, and no thread waits for another: of
a copy from the page cache the way through reader threads took a tenth of the processor time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from .flow.buffers import Buffer
from .flow.conduct import Conduct
from .flow.crew import Shared, together
from .flow.queues import Channel
from .units import Unit

# Units of 1 MiB that are announced ahead: what a disk of 1.3 GB/s brings while three of them are compressed.
_EXPECTED = 16
# Who compresses would take every core there is, from the guests of this host and from its own uploads.
_NICENESS = 10


class Worker(Protocol):
    """Uses units; only ever called by one thread."""

    def take(self, unit: Unit, buffer: Buffer) -> None:
        """Do the work of one unit, unless cancelled; the buffer is another's afterwards."""

    def end(self) -> None:
        """There are no more units."""


class _Filled(NamedTuple):
    unit: Unit
    buffer: Buffer


def pump(units: Iterator[Unit], workers: Sequence[Worker], conduct: Conduct, readers: int) -> None:
    """Read every unit once and hand it to one of the workers; return when all have ended.

    Of ``readers`` there are as many as ``conduct`` says, or fewer where so many would only get in each
    other's way; with none, workers read for themselves.
    Raises what a source or a worker raised first, or Cancelled, once no thread is left.
    """
    if readers:
        _read_ahead(Shared(units), workers, conduct, min(readers, conduct.readers))
    else:
        _read_themselves(Shared(_expected(units)), workers, conduct)


def _give_way() -> None:
    """Let this thread take what guests, and those who carry what it made, leave of the processor."""
    os.nice(_NICENESS)


def _expected(units: Iterator[Unit]) -> Iterator[Unit]:
    """Yield units, each announced some time before."""
    waiting: deque[Unit] = deque()
    for unit in units:
        unit.expect()
        waiting.append(unit)
        if len(waiting) > _EXPECTED:
            yield waiting.popleft()
    yield from waiting


def _read_themselves(units: Shared[Unit], workers: Sequence[Worker], conduct: Conduct) -> None:
    def work(worker: Worker, buffer: Buffer) -> None:
        _give_way()
        for unit in units:
            conduct.cancel.check()
            unit.fill(buffer)
            worker.take(unit, buffer)
            conduct.meter.add(unit.read_bytes)
        worker.end()

    with conduct.buffers.lent(len(workers)) as buffers:
        tasks = [partial(work, *pair) for pair in zip(workers, buffers, strict=True)]
        together("pump", tasks, units.stop)


def _read_ahead(units: Shared[Unit], workers: Sequence[Worker], conduct: Conduct, readers: int) -> None:
    count = readers + 2 * len(workers)
    free: Channel[Buffer] = Channel(count)
    filled: Channel[_Filled] = Channel(len(workers), producers=readers)

    def read() -> None:
        for unit in units:
            conduct.cancel.check()
            buffer = free.get()
            unit.fill(buffer)
            filled.put(_Filled(unit, buffer))
        filled.done()

    def work(worker: Worker) -> None:
        _give_way()
        for unit, buffer in filled:
            worker.take(unit, buffer)
            conduct.meter.add(unit.read_bytes)
            free.put(buffer)
        worker.end()

    def stop(reason: BaseException) -> None:
        units.stop(reason)
        free.fail(reason)
        filled.fail(reason)

    with conduct.buffers.lent(count) as buffers:
        for buffer in buffers:
            free.put(buffer)
        together("pump", [read] * readers + [partial(work, worker) for worker in workers], stop)
