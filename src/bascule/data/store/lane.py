"""Lanes: where worker threads hand over bytes, and segments leave for the store.

Buffers are few and go round, so a lane waits when uploads lag, and memory stays
what it was at the start.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from bascule.blocks.extents import Extent
from bascule.model.errors import Refused
from bascule.ports.objects import ObjectStore

from .format.container import SEGMENT_BYTES, Builder, FrameRef
from .format.runs import BLOCK, Run, hole
from .format.sealing import Sealer
from .points import DiskKey

LARGEST_FRAME = 1 << 20
_HANDOVER = 8192


class DurableFrame(NamedTuple):
    """A frame that an interrupted session left in the store, outside any point."""

    offset: int
    length: int
    digest: bytes
    frame: FrameRef


class Uploads:
    """A pool of builders and the threads that store them. The first failure is kept and raised to all."""

    def __init__(
        self,
        objects: ObjectStore,
        sealer: Sealer,
        *,
        threads: int,
        buffers: int,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._objects = objects
        self._sealer = sealer
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "upload")
        self._free: queue.SimpleQueue[Builder] = queue.SimpleQueue()
        self._left = buffers
        self._segment_bytes = segment_bytes
        self._guard = threading.Lock()
        self._pending: set[Future[None]] = set()
        self._failure: BaseException | None = None

    def take(self) -> Builder:
        """Return a free builder, waiting for an upload to end if there is none."""
        self._raise()
        with self._guard:
            fresh = self._left > 0 and self._free.empty()
            self._left -= fresh
        builder = Builder(self._sealer, self._segment_bytes) if fresh else self._free.get()
        if self._failure is not None:
            self._free.put(builder)
            self._raise()
        return builder

    def give_back(self, builder: Builder) -> None:
        """Return a builder unused."""
        self._free.put(builder)

    def send(self, builder: Builder) -> None:
        """Store a filled builder in the background and free it then."""
        future = self._pool.submit(self._store, builder)
        with self._guard:
            self._pending.add(future)
        future.add_done_callback(self._done)

    def _store(self, builder: Builder) -> None:
        try:
            if self._failure is None:
                self._objects.create(builder.source.name, builder.finish())
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._free.put(builder)

    def _done(self, future: Future[None]) -> None:
        with self._guard:
            self._pending.discard(future)

    def drain(self) -> None:
        """Return when all that was sent is durable, or raise what went wrong first."""
        while True:
            with self._guard:
                pending = list(self._pending)
            if not pending:
                break
            for future in pending:
                future.exception()
        self._raise()

    def forgive(self) -> None:
        """Forget a failure, once nothing that depended on the lost segment is left."""
        with self._guard:
            pending = list(self._pending)
        for future in pending:
            future.exception()
        self._failure = None

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def rest(self) -> None:
        """Give back the threads, and the memory of buffers; both are taken anew when they are needed."""
        self._pool.shutdown(wait=True)
        self._pool = ThreadPoolExecutor(self._threads, "upload")
        while not self._free.empty():
            self._free.get().close()
            with self._guard:
                self._left += 1

    def close(self) -> None:
        """Wait for uploads under way, end the threads, and give the memory back. Safe to call twice."""
        self._pool.shutdown(wait=True)
        while not self._free.empty():
            self._free.get().close()


class Target(Protocol):
    """What a lane needs of its cut."""

    def take(self) -> Builder: ...

    def send(self, builder: Builder) -> None: ...

    def tag(self, disk: DiskKey) -> bytes: ...

    def size_of(self, disk: DiskKey) -> int: ...

    def absorb(self, disk: DiskKey, runs: list[Run]) -> None: ...

    def leave(self, lane: Lane, builder: Builder | None) -> None: ...


class Lane:
    """One worker's way into a cut; not thread-safe. A block is written once per cut."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._builder: Builder | None = None
        self._runs: dict[DiskKey, list[Run]] = {}
        self._tags: dict[DiskKey, tuple[bytes, int]] = {}
        self._closed = False
        self.stored_bytes = 0

    def write(self, disk: DiskKey, offset: int, data: bytes | memoryview) -> None:
        """Hash, compress and seal a frame; wait while uploads lag."""
        tag, size = self._disk(disk)
        _check(disk, size, offset, len(data))
        self._take_in(disk, self._with_room(1, len(data)).add(tag, offset, data), offset)

    def write_all(self, disk: DiskKey, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Do as ``write`` for frames that are together no more than LARGEST_FRAME."""
        if len(pieces) == 1:
            self.write(disk, *pieces[0])
            return
        tag, size = self._disk(disk)
        for offset, data in pieces:
            _check(disk, size, offset, len(data))
        builder = self._with_room(len(pieces), sum(len(data) for _, data in pieces))
        for (offset, _), frame in zip(pieces, builder.add_all(tag, pieces), strict=True):
            self._take_in(disk, frame, offset)

    def adopt(self, disk: DiskKey, frame: DurableFrame) -> None:
        """Use a frame that is durable already."""
        self._disk(disk)
        self._note(disk, Run(frame.offset // BLOCK, -(-frame.length // BLOCK), 0, frame.frame))

    def erase(self, disk: DiskKey, extent: Extent) -> None:
        """Say that whole blocks became zero."""
        _, size = self._disk(disk)
        if extent.offset % BLOCK or extent.end > size or (extent.end % BLOCK and extent.end != size):
            raise Refused(f"cannot erase {extent} of disk {disk.disk}: not whole blocks of its {size} bytes")
        for run in hole(extent.offset // BLOCK, -(-extent.end // BLOCK)):
            self._note(disk, run)

    def close(self) -> None:
        """Hand over what is left; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        builder, self._builder = self._builder, None
        left, self._runs = self._runs, {}
        try:
            for disk, runs in left.items():
                self._target.absorb(disk, runs)
        finally:
            # Buffers are few: one that is not handed back is missing until the session ends.
            self._target.leave(self, builder)

    def _disk(self, disk: DiskKey) -> tuple[bytes, int]:
        if self._closed:
            raise Refused("this lane is closed")
        found = self._tags.get(disk)
        if found is None:
            found = self._tags[disk] = (self._target.tag(disk), self._target.size_of(disk))
        return found

    def _with_room(self, frames: int, plain: int) -> Builder:
        builder = self._builder
        return builder if builder is not None and builder.has_room(plain, frames) else self._turn()

    def _take_in(self, disk: DiskKey, frame: FrameRef, offset: int) -> None:
        self.stored_bytes += frame.sealed
        self._note(disk, Run(offset // BLOCK, -(-frame.plain // BLOCK), 0, frame))

    def _turn(self) -> Builder:
        if self._builder is not None:
            full, self._builder = self._builder, None
            self._target.send(full)
        self._builder = self._target.take()
        return self._builder

    def _note(self, disk: DiskKey, run: Run) -> None:
        runs = self._runs.setdefault(disk, [])
        runs.append(run)
        if len(runs) >= _HANDOVER:
            self._runs[disk] = []
            self._target.absorb(disk, runs)


def _check(disk: DiskKey, size: int, offset: int, length: int) -> None:
    if offset % BLOCK or not 0 < length <= LARGEST_FRAME or offset + length > size:
        raise Refused(f"a frame of {length} bytes at {offset} does not fit disk {disk.disk} of {size} bytes")
    if length % BLOCK and offset + length != size:
        raise Refused(f"a frame of {length} bytes at {offset} ends inside a block of disk {disk.disk}")
