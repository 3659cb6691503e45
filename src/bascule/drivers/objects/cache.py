"""Keep small pieces of objects in memory.

Objects are immutable, so a piece read once stays right as long as the object is
there. It is dropped when the object is deleted or created through this store; an
object that somebody else deletes may be read from here a while longer. Whether an
object is there is a question for ``stat`` and ``list``, which always ask the place.

Several threads that want the same piece fetch it once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bascule.ports.objects import ObjectInfo, ObjectStore

from .files.system import Buffer

_ENTRY_OVERHEAD = 300

Piece = tuple[str, int, int]


@dataclass(slots=True)
class _Flight:
    """One fetch under way; those who wait take ``data`` when it landed, or fetch for themselves."""

    landed: threading.Event = field(default_factory=threading.Event)
    data: bytes | None = None
    stale: bool = False


class CachingStore:
    """The ObjectStore port over another one: keeps reads of up to ``largest`` bytes, ``budget`` in all."""

    def __init__(self, inner: ObjectStore, *, budget: int = 32 << 20, largest: int = 256 << 10) -> None:
        self._inner = inner
        self._budget = budget
        self._largest = min(largest, budget)
        self._lock = threading.Lock()
        self._kept: OrderedDict[Piece, bytes] = OrderedDict()
        self._flights: dict[Piece, _Flight] = {}
        self._pieces: dict[str, set[Piece]] = {}
        self.used = 0

    def __repr__(self) -> str:
        return f"CachingStore({self._inner!r})"

    def create(self, name: str, data: Buffer) -> None:
        try:
            self._inner.create(name, data)
        finally:
            self._drop(name)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        view = buffer.cast("B")
        if len(view) > self._largest:
            return self._inner.read(name, offset, view)
        piece = (name, offset, len(view))
        data, flight, ours = self._look_up(piece)
        if flight is not None:
            if ours:
                return self._fetch(piece, flight, view)
            flight.landed.wait()
            data = flight.data
        if data is None:
            return self._inner.read(name, offset, view)
        view[: len(data)] = data
        return len(data)

    def stat(self, name: str) -> ObjectInfo:
        return self._inner.stat(name)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._inner.list(prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        known = tuple(names)
        try:
            self._inner.delete(known)
        finally:
            # After, not before: who reads meanwhile must not put it back.
            for name in known:
                self._drop(name)

    def close(self) -> None:
        with self._lock:
            self._kept.clear()
            self._pieces.clear()
            self.used = 0
        self._inner.close()

    def _look_up(self, piece: Piece) -> tuple[bytes | None, _Flight | None, bool]:
        """Return the piece, or the flight to wait for, or one that is ours to fly."""
        with self._lock:
            data = self._kept.get(piece)
            if data is not None:
                self._kept.move_to_end(piece)
                return data, None, False
            flight = self._flights.get(piece)
            if flight is not None:
                return None, flight, False
            flight = self._flights[piece] = _Flight()
            return None, flight, True

    def _fetch(self, piece: Piece, flight: _Flight, view: memoryview) -> int:
        try:
            count = self._inner.read(piece[0], piece[1], view)
            flight.data = bytes(view[:count])
            return count
        finally:
            with self._lock:
                if self._flights.get(piece) is flight:
                    del self._flights[piece]
                if flight.data is not None and not flight.stale:
                    self._keep(piece, flight.data)
            flight.landed.set()

    def _keep(self, piece: Piece, data: bytes) -> None:
        self._kept[piece] = data
        self._pieces.setdefault(piece[0], set()).add(piece)
        self.used += len(data) + _ENTRY_OVERHEAD
        while self.used > self._budget:
            self._forget(next(iter(self._kept)))

    def _forget(self, piece: Piece) -> None:
        self.used -= len(self._kept.pop(piece)) + _ENTRY_OVERHEAD
        others = self._pieces[piece[0]]
        others.discard(piece)
        if not others:
            del self._pieces[piece[0]]

    def _drop(self, name: str) -> None:
        with self._lock:
            for piece in tuple(self._pieces.get(name, ())):
                self._forget(piece)
            for piece, flight in tuple(self._flights.items()):
                if piece[0] == name:
                    flight.stale = True
                    del self._flights[piece]
