"""A bounded cache of open descriptors, shared by threads.

A descriptor is closed when it is neither kept by the cache nor leased, so an
eviction never closes one under a reader.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress


class Lease:
    """An open descriptor, which stays open until the block that leased it ends."""

    __slots__ = ("_owner", "fd", "kept", "users")

    def __init__(self, owner: Handles, fd: int) -> None:
        self._owner = owner
        self.fd = fd
        self.users = 1
        self.kept = True

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """End one use."""
        self._owner.give_back(self)


class Handles:
    """Opens by key on demand and keeps the ``limit`` most recently used."""

    def __init__(self, opener: Callable[[str], int], closer: Callable[[int], None], limit: int) -> None:
        self._opener = opener
        self._closer = closer
        self._limit = limit
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, Lease] = OrderedDict()

    def lease(self, key: str) -> Lease:
        """Return the descriptor of ``key``, for a ``with`` block."""
        with self._lock:
            handle = self._handles.get(key)
            if handle is not None:
                self._handles.move_to_end(key)
                handle.users += 1
                return handle
        return self._keep(key, Lease(self, self._opener(key)))

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

    def _keep(self, key: str, fresh: Lease) -> Lease:
        """Keep what was just opened, unless another thread opened the same meanwhile."""
        surplus: list[Lease] = []
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

    def _unkeep(self, handle: Lease) -> None:
        with self._lock:
            handle.kept = False
            idle = handle.users == 0
        if idle:
            self._close(handle)

    def give_back(self, handle: Lease) -> None:
        """End one use of a descriptor."""
        with self._lock:
            handle.users -= 1
            idle = handle.users == 0 and not handle.kept
        if idle:
            self._close(handle)

    def _close(self, handle: Lease) -> None:
        with suppress(OSError):  # Nothing was written through it that a failed close could lose.
            self._closer(handle.fd)
