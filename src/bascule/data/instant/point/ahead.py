"""Reading ahead: who reads frame after frame finds the next ones decoded.

A stream is recognised when three frames in a row were missed in order. Then a
window of frames behind it is decoded in the background, and each of them that is
hit for the first time has one more decoded at the end. So reads that hit cost nothing
here, and whoever stops reading leaves one window unused at most.

A client with many requests under way misses out of order, and near a window that is
being decoded for it; such misses belong to that window's stream. Each started as
one of its own, windows would add up until the cache threw out what nobody had read
yet. Only when misses keep coming without a hit has the reader moved, or the window
was thrown out: then the stream ends, and a new one may be recognised.

Where as many readers as there are cores decode for themselves, nothing is read ahead:
a thread more would take turns with them, and turns cost more than they bring.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bascule.model.errors import BasculeError

from .windows import Found

WINDOW_FRAMES = 8
# Half a dozen of such streams fill the cache.
_WINDOW_FRAMES_MAX = 64
_STREAMS = 8
_ENOUGH = 2
# How many blocks a stream may skip. More would take random reads in a small area for one.
_SLACK_BLOCKS = 4
# How far from the end of its window a miss still belongs to a stream that runs: 16 MiB.
_NEAR_BLOCKS = 256
_PATIENCE = 32


class Decoder(Protocol):
    """What reading ahead needs of a disk."""

    def next_run(self, block: int) -> Found | None:
        """Return the first run of data at or behind a block whose frame is not here yet, None at the end."""

    def bring(self, found: Found, on_hit: Callable[[], None]) -> None:
        """Decode a run's frame; ``on_hit`` is called when it is first read."""

    def is_crowded(self) -> bool:
        """Tell whether readers keep every core busy by themselves."""

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the background."""


class _Stream:
    """Somebody who reads in order, and up to where it was read for them."""

    __slots__ = ("guard", "misses", "next", "runs", "window")

    def __init__(self, after: int) -> None:
        self.next: int | None = after
        self.misses = 0  # in order before it runs; since the last hit when it does
        self.runs = False
        self.window = 0
        self.guard = threading.Lock()

    def owns(self, first: int) -> bool:
        """Tell whether a miss is this stream's."""
        if self.next is None:
            return False
        ahead = first - self.next
        return -_NEAR_BLOCKS <= ahead < _NEAR_BLOCKS if self.runs else 0 <= ahead < _SLACK_BLOCKS


class ReadAhead:
    """Recognises streams of one disk. Thread-safe."""

    def __init__(self, disk: Decoder) -> None:
        self._disk = disk
        self._streams: deque[_Stream] = deque(maxlen=_STREAMS)
        self._guard = threading.Lock()

    def missed(self, first: int, end: int) -> None:
        """Note that the blocks ``first`` up to ``end`` were missed."""
        if self._disk.is_crowded():
            return
        with self._guard:
            stream = next((stream for stream in self._streams if stream.owns(first)), None)
            if stream is None:
                self._streams.append(_Stream(end))
                return
            stream.misses += 1
            more = self._follow(stream, end) if stream.runs else self._begin(stream, end)
            stream.window += more
        for _ in range(more):
            self._go_on(stream)

    def _begin(self, stream: _Stream, end: int) -> int:
        """Take a miss in order; return how many frames to decode ahead."""
        stream.next = end
        if stream.misses < _ENOUGH:
            return 0
        stream.runs, stream.misses = True, 0
        return WINDOW_FRAMES

    def _follow(self, stream: _Stream, end: int) -> int:
        """Take a miss in or near the window; return how many frames more to decode ahead."""
        if stream.misses >= _PATIENCE:
            self._streams.remove(stream)
            stream.next = None
            return 0
        if stream.next is not None and end > stream.next:
            # It is faster than we are: what is left behind it would be decoded for nobody.
            stream.next = end
        return WINDOW_FRAMES if stream.window < _WINDOW_FRAMES_MAX else 0

    def _go_on(self, stream: _Stream) -> None:
        self._disk.later(lambda: self._step(stream))

    def _step(self, stream: _Stream) -> None:
        try:
            with stream.guard:
                found = None if stream.next is None else self._disk.next_run(stream.next)
                stream.next = None if found is None else found.run.end
            if found is not None:
                self._disk.bring(found, lambda: self._hit(stream))
        except BasculeError:
            # Whoever really reads this range is told, and the store is asked again for them.
            stream.next = None

    def _hit(self, stream: _Stream) -> None:
        stream.misses = 0
        if self._disk.is_crowded():
            stream.window -= 1
        else:
            self._go_on(stream)
