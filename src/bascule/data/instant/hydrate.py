"""Hydration: copy a point's disk to the local base in the background, while a guest uses it.

A few threads fetch batches of frames that lie together in the store and fill the
base; every 32 MiB are made durable together. The guest comes first: ``courtesy``
says when it is left alone between batches (4 MiB at most), the threads have a lower
priority than it, and a pace may hold them to a rate. Frames that are damaged are left
out and named; the rest is copied, and such a base never becomes complete.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol

import structlog

from bascule.blocks.extents import Extent, merge
from bascule.data.store import BLOCK, Batch, Run
from bascule.model.errors import BasculeError, Cancelled, Damaged, Unavailable

from .courtesy import Courtesy
from .local_base import LocalBase
from .point.patience import Patience

_WORKERS = 2
_COMMIT_BYTES = 32 << 20
_SCRATCH_BYTES = 5 << 20
# A guest's processor wins, and yet a thread that holds the interpreter gets time enough to give it back soon.
_NICENESS = 10

log = structlog.get_logger(__name__)


class BatchReader(Protocol):
    """The part of the store's ``DiskReader`` that hydration uses."""

    size_bytes: int

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[Extent, bool]]: ...

    def batches(self) -> Iterator[Batch]: ...

    def frame(self, run: Run) -> tuple[int, memoryview]: ...

    def part(self, run: Run, plain: bytes | memoryview) -> tuple[int, memoryview]: ...


class Pace(Protocol):
    """Holds a transfer to a rate; the pipeline's throttle is one."""

    def spend(self, count: int, check: Callable[[], None]) -> None:
        """Report bytes moved and wait until more may be; ``check`` ends the wait by raising."""


class Hydrating(Enum):
    """How far a hydration is."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    DAMAGED = "damaged"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class HydrationProgress:
    """One look at a hydration; the total is None until the point's map was read."""

    state: Hydrating
    done_bytes: int
    total_bytes: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Manners:
    """How a hydration behaves beside a guest."""

    patience: Patience
    courtesy: Courtesy
    pace: Pace | None = None
    workers: int = _WORKERS


class _Here(BasculeError):
    """The local disk failed, not the store: nothing to be patient with. Its cause says how."""

    def __init__(self) -> None:
        super().__init__("the local disk failed")


class Hydration:
    """One disk being copied. ``start`` it once; ``stop`` it any time, and a later one goes on from there."""

    def __init__(self, reader: BatchReader, base: LocalBase, manners: Manners) -> None:
        self._reader = reader
        self._base = base
        self._manners = manners
        self._guard = threading.Lock()
        self._filled: list[Extent] = []
        self._filled_bytes = 0
        self._batches: Iterator[Batch] = iter(())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hydrate", daemon=True)
        self._state = Hydrating.COMPLETE if base.is_complete else Hydrating.WAITING
        self._total: int | None = None
        self._error: BaseException | None = None
        self.damaged: list[str] = []

    @property
    def progress(self) -> HydrationProgress:
        """Return how far it is."""
        error = str(self._error) if self._error else "; ".join(self.damaged)
        return HydrationProgress(self._state, self._base.done_bytes, self._total, error)

    def start(self) -> None:
        """Begin, or go on, in the background."""
        if self._state is Hydrating.WAITING:
            self._state = Hydrating.RUNNING
            self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it ended, one way or another; tell whether it did."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End it, keeping what is durable."""
        self._stopping.set()
        self.wait()

    def _run(self) -> None:
        try:
            self._copy_all()
            if not self.damaged:
                self._base.complete()
            self._state = Hydrating.DAMAGED if self.damaged else Hydrating.COMPLETE
        except Cancelled:
            self._state = Hydrating.STOPPED
        except BasculeError as error:
            self._error = error.__cause__ if isinstance(error, _Here) else error
            self._state = Hydrating.FAILED
        log.info("instant.hydration_ended", state=self._state.value, error=str(self._error or ""))

    def _copy_all(self) -> None:
        self._manners.courtesy.let_settle(self._pause)
        insist = self._manners.patience.insist
        self._total = insist(lambda: sum(e.length for e, data in self._reader.extents() if data))
        # Loads logging and more, for which no machine should wait.
        from concurrent.futures import ThreadPoolExecutor

        while (before := self._base.done_bytes) < self._total and not self.damaged:
            self._batches = self._reader.batches()
            with ThreadPoolExecutor(self._manners.workers, "hydrate") as crew:
                ends = [crew.submit(self._work) for _ in range(self._manners.workers)]
            # One that failed stops the others: what it says comes before their being stopped.
            for error in sorted((end.exception() for end in ends), key=lambda e: isinstance(e, Cancelled)):
                if error is not None:
                    raise error
            self._commit()
            if self._base.done_bytes == before and not self.damaged:
                raise Damaged("the point's map speaks of more data than its frames hold")

    def _work(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        scratch = memoryview(bytearray(_SCRATCH_BYTES))
        try:
            while (batch := self._next()) is not None:
                self._manners.courtesy.work(partial(self._copy, batch, scratch), self._pause)
                if self._manners.pace is not None:
                    self._manners.pace.spend(batch.plain_bytes, self._check)
        except BasculeError:
            # The other workers end as well, and what is not durable is copied another time.
            self._stopping.set()
            raise

    def _check(self) -> None:
        self._pause(0)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Cancelled("the hydration was stopped")

    def _next(self) -> Batch | None:
        """Return the next batch of which something is not here."""
        with self._guard:
            while True:
                self._check()
                batch = self._manners.patience.insist(self._advance)
                if batch is None or not all(self._base.holds(_extent(run)) for run in batch.runs):
                    return batch

    def _advance(self) -> Batch | None:
        try:
            return next(self._batches, None)
        except Unavailable:
            # A generator that raised is over, which must not look like the end of the disk.
            self._batches = self._reader.batches()
            raise

    def _copy(self, batch: Batch, scratch: memoryview) -> None:
        try:
            filled = self._manners.patience.insist(lambda: self._fill(batch.frames(scratch)))
        except Damaged:
            filled = [extent for run in batch.runs for extent in self._copy_run(run)]
        with self._guard:
            self._filled.extend(filled)
            self._filled_bytes += sum(extent.length for extent in filled)
        if self._filled_bytes >= _COMMIT_BYTES:
            self._commit()

    def _copy_run(self, run: Run) -> list[Extent]:
        """Copy one run of a batch in which something is damaged, or note that it is this one."""
        try:
            return self._manners.patience.insist(
                lambda: self._fill(iter([self._reader.part(run, self._reader.frame(run)[1])]))
            )
        except Damaged as error:
            self.damaged.append(str(error))
            log.error("instant.range_damaged", error=str(error))
            return []

    def _fill(self, frames: Iterator[tuple[int, memoryview]]) -> list[Extent]:
        filled = []
        for offset, data in frames:
            extent = Extent(offset, len(data))
            if not self._base.holds(extent):
                self._write(offset, data)
            filled.append(extent)
        return filled

    def _write(self, offset: int, data: memoryview) -> None:
        try:
            self._base.fill(offset, data)
        except BasculeError as error:
            raise _Here from error

    def _commit(self) -> None:
        with self._guard:
            filled, self._filled, self._filled_bytes = self._filled, [], 0
        self._base.commit(merge(sorted(filled)))


def _extent(run: Run) -> Extent:
    return Extent(run.block * BLOCK, run.span * BLOCK)
