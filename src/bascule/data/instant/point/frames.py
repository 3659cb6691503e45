"""Decoded frames in bounded memory, each decoded once however many ask.

Hits take no lock: what is cached is published in plain dicts (``Piece`` by block),
and a hit looks up, sets a flag and slices. Everything that changes those dicts holds
the cache's lock. The flag makes eviction the "second chance" form of least recently used: a frame that
was hit since it last came up for eviction goes to the back of the queue instead.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import SimpleQueue

from bascule.data.store import Opener

from .load import Distance, Readers

# With two threads a guest's own reads and the work ahead of them share two cores fairly.
_THREADS = 2
# A guest's requests come in as many threads as it has connections times four; each opener takes up to 3 MiB.
_OPENERS = 8
_NICENESS = 10
CACHE_BYTES = 112 << 20


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What the cache did so far."""

    hits: int
    misses: int
    ahead: int
    held_bytes: int

    @property
    def hit_rate(self) -> float:
        """Return the share of reads that found their frame, 1.0 before the first read."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 1.0


class Frame:
    """Plain bytes of one frame; ``used`` if it was hit since it last came up for eviction."""

    __slots__ = ("key", "pieces", "plain", "used")

    def __init__(self, key: Hashable, plain: memoryview) -> None:
        self.key = key
        self.plain = plain
        self.used = False
        self.pieces: list[tuple[Table, Piece]] = []


class Piece:
    """The part of a frame that a disk shows: its bytes from ``start`` up to ``end`` of the disk."""

    __slots__ = ("blocks", "end", "frame", "on_hit", "start", "view")

    def __init__(self, frame: Frame, blocks: range, start: int, view: memoryview) -> None:
        self.frame = frame
        self.blocks = blocks
        self.start = start
        self.end = start + len(view)
        self.view = view
        # Called once, by the first read that hits: the signal that reading ahead paid off.
        self.on_hit: Callable[[], None] | None = None


Table = dict[int, Piece]
"""What a disk has at hand, by block."""
Show = Callable[[Frame], tuple[Table, list[Piece]]]
"""Makes the pieces of a frame, and says in which table they belong."""


class _Flight:
    """A frame being decoded; those who want it wait for the lock, which costs a tenth of an event."""

    __slots__ = ("error", "frame", "landed")

    def __init__(self) -> None:
        self.landed = threading.Lock()
        self.landed.acquire()
        self.frame: Frame | None = None
        self.error: BaseException | None = None


class Openers:
    """Memory to read and open frames in, for so many threads at once; who comes later waits.

    What was used last goes out first: its bytes are still in the processor's cache. Taken in turn, eight
    of them were not, and the natives took a third longer.
    """

    def __init__(self, count: int = _OPENERS) -> None:
        self._idle: list[Opener] = []
        self._leave: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._leave.put(None)

    def take(self) -> Opener:
        """Return an opener, to be given back."""
        self._leave.get()
        try:
            return self._idle.pop()
        except IndexError:
            return Opener()

    def give_back(self, opener: Opener) -> None:
        """Let others have it."""
        self._idle.append(opener)
        self._leave.put(None)


class FrameCache:
    """Frames of all disks of a process. Thread-safe."""

    def __init__(
        self,
        capacity_bytes: int = CACHE_BYTES,
        distance: Distance | None = None,
        readers: Readers | None = None,
    ) -> None:
        self._capacity = capacity_bytes
        self._held_bytes = 0
        self._frames: OrderedDict[Hashable, Frame] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}
        self._guard = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._hired = 0
        self.openers = Openers()
        self.distance = distance or Distance()
        self.readers = readers or Readers()
        # Counted without a lock by those who read: a lost count now and then is cheaper than a lock.
        self.hits = 0
        self.misses = 0
        self.ahead = 0
        self._guests: set[int] = set()  # threads that read for them just now
        self._aside = 0  # threads that wait until there are none
        self._quiet = threading.Condition()

    def guest_comes(self) -> None:
        """Note that a guest waits for a frame of this thread, so that background work steps aside."""
        self._guests.add(threading.get_ident())

    def guest_goes(self) -> None:
        """Note that it waits no more."""
        self._guests.discard(threading.get_ident())
        # Seldom is anybody there, so reads of guests take no lock. First they look whether a guest is left,
        # here first the guest leaves: one of the two sees the other.
        if self._aside and not self._guests:
            with self._quiet:
                self._quiet.notify_all()

    def step_aside(self, seconds: float) -> None:
        """Wait while guests wait, but no longer than ``seconds``."""
        with self._quiet:
            self._aside += 1
            try:
                self._quiet.wait_for(lambda: not self._guests, seconds)
            finally:
                self._aside -= 1

    def frame(self, key: Hashable, decode: Callable[[], memoryview], show: Show) -> Frame:
        """Return a frame, decoded once; all who wait for it get what ``decode`` raises.

        The pieces that ``show`` makes of it are published before anybody who waits goes on.
        """
        mine = _Flight()
        flight = self._flights.setdefault(key, mine)
        if flight is mine:
            return self._decode(key, flight, decode, show)
        with flight.landed:
            pass
        if flight.frame is None:
            assert flight.error is not None  # a flight lands with one of the two
            raise flight.error
        return flight.frame

    def _decode(self, key: Hashable, flight: _Flight, decode: Callable[[], memoryview], show: Show) -> Frame:
        try:
            # It may have landed since it was missed: a frame is here before its flight is over.
            frame = self._frames.get(key)
            if frame is None:
                frame = Frame(key, decode())
                table, pieces = show(frame)
                with self._guard:
                    self._insert(frame)
                    for piece in pieces:
                        _publish(table, piece)
            flight.frame = frame
        except BaseException as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.release()
        return frame

    def _insert(self, frame: Frame) -> None:
        room = self._capacity - len(frame.plain)
        while self._frames and self._held_bytes > room:
            key, oldest = self._frames.popitem(last=False)
            if oldest.used:
                oldest.used = False
                self._frames[key] = oldest
                continue
            self._held_bytes -= len(oldest.plain)
            for table, piece in oldest.pieces:
                _withdraw(table, piece)
            # Frame and pieces name each other: left so, the bytes wait for the garbage collector, which
            # counts objects and not bytes. Measured: 3 GiB held by a cache of 96 MiB.
            oldest.pieces.clear()
        self._frames[frame.key] = frame
        self._held_bytes += len(frame.plain)

    def publish(self, table: Table, piece: Piece) -> None:
        """Let reads of a disk find ``piece`` by its blocks, for as long as its frame is held."""
        with self._guard:
            if self._frames.get(piece.frame.key) is piece.frame:
                _publish(table, piece)

    def holds(self, key: Hashable) -> bool:
        """Tell whether a frame is here or on its way."""
        return key in self._frames or key in self._flights

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the background, unless the cache is closed; it must see to its own errors."""
        if self._hired < _THREADS:
            with self._guard:
                if self._hired < _THREADS:
                    self._hired += 1
                    threading.Thread(target=self._work, name="instant-ahead", daemon=True).start()
        self._jobs.put(work)

    def _work(self) -> None:
        # Ahead of a guest, not in its way: where its processor and its disk keep all cores busy, a boot took
        # a tenth longer while these threads took their share.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        # A bare queue and not an executor: its futures cost more than many a frame's decoding.
        while (job := self._jobs.get()) is not None:
            job()

    @property
    def figures(self) -> CacheFigures:
        """Return what the cache did so far."""
        return CacheFigures(self.hits, self.misses, self.ahead, self._held_bytes)

    def close(self) -> None:
        """Stop reading ahead, without waiting for what is being read."""
        for _ in range(_THREADS):
            self._jobs.put(None)


def _publish(table: Table, piece: Piece) -> None:
    piece.frame.pieces.append((table, piece))
    for block in piece.blocks:
        table[block] = piece


def _withdraw(table: Table, piece: Piece) -> None:
    for block in piece.blocks:
        if table.get(block) is piece:
            del table[block]
