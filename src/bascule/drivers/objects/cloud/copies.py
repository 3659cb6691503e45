"""Memory that obstore may keep as long as it likes.

Its requests hold on to what they send, sometimes longer than the call that made
them. So they are lent copies; a copy that is still held when the call is over is
left to them, any other is used again.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..files.system import Buffer

_SMALL = 64 << 10
_UNIT = 1 << 20
_KEPT = 4


class Copies:
    """A few reused buffers; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: list[mmap.mmap] = []

    @contextmanager
    def of(self, data: Buffer) -> Iterator[bytes | memoryview]:
        """Lend a copy of ``data``; bytes cannot change and are lent themselves."""
        if isinstance(data, bytes):
            yield data
            return
        source = memoryview(data).cast("B")
        if len(source) <= _SMALL:
            yield bytes(source)
            return
        room = self._take(len(source))
        copy = memoryview(room)[: len(source)]
        copy[:] = source
        source.release()
        try:
            yield copy
        finally:
            self._give_back(room, copy)

    def _take(self, size: int) -> mmap.mmap:
        with self._lock:
            for index, room in enumerate(self._spare):
                if len(room) >= size:
                    return self._spare.pop(index)
            self._spare.clear()  # Too small for what is stored now.
        return mmap.mmap(-1, -(-size // _UNIT) * _UNIT)

    def _give_back(self, room: mmap.mmap, copy: memoryview) -> None:
        try:
            copy.release()
        except BufferError:
            return  # A request still sends from it.
        with self._lock:
            if len(self._spare) < _KEPT:
                self._spare.append(room)
