"""A bounded cache of open descriptors, shared by threads.

A descriptor is closed when it is neither kept by the cache nor leased, so an
eviction never closes one under a reader.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(slots=True)
class _Handle:
    fd: int
    users: int = 0
    kept: bool = True


class Handles:
    """Opens by key on demand and keeps the ``limit`` most recently used."""

    def __init__(self, opener: Callable[[str], int], closer: Callable[[int], None], limit: int) -> None:
        self._opener = opener
        self._closer = closer
        self._limit = limit
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, _Handle] = OrderedDict()

    @contextmanager
    def lease(self, key: str) -> Iterator[int]:
        """Give the descriptor of ``key``, which stays open until the lease ends."""
        handle = self._take(key)
        try:
            yield handle.fd
        finally:
            self._give_back(handle)

    def drop(self, key: str) -> None:
        """Forget ``key``: the next lease opens it anew."""
        with self._lock:
            handle = self._handles.pop(key, None)
        if handle is not None:
            self._unkeep(handle)

    def close(self) -> None:
        """Forget all keys; descriptors still leased close when their leases end."""
        with self._lock:
            keys = list(self._handles)
        for key in keys:
            self.drop(key)

    def _take(self, key: str) -> _Handle:
        with self._lock:
            handle = self._handles.get(key)
            if handle is not None:
                self._handles.move_to_end(key)
                handle.users += 1
                return handle
        return self._keep(key, _Handle(self._opener(key), users=1))

    def _keep(self, key: str, fresh: _Handle) -> _Handle:
        """Keep what was just opened, unless another thread opened the same meanwhile."""
        surplus: list[_Handle] = []
        with self._lock:
            handle = self._handles.setdefault(key, fresh)
            if handle is not fresh:
                handle.users += 1
                fresh.users = 0
                surplus.append(fresh)
            while len(self._handles) > self._limit:
                surplus.append(self._handles.popitem(last=False)[1])
        for one in surplus:
            self._unkeep(one)
        return handle

    def _unkeep(self, handle: _Handle) -> None:
        with self._lock:
            handle.kept = False
            idle = handle.users == 0
        if idle:
            self._close(handle)

    def _give_back(self, handle: _Handle) -> None:
        with self._lock:
            handle.users -= 1
            idle = handle.users == 0 and not handle.kept
        if idle:
            self._close(handle)

    def _close(self, handle: _Handle) -> None:
        with suppress(OSError):  # Nothing was written through it that a failed close could lose.
            self._closer(handle.fd)
