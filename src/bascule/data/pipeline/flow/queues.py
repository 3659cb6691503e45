"""Bounded queues between threads, which either end may close.

A queue that fails wakes everybody who waits on it, so no thread is ever left
behind a queue whose other end is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The other end is gone; its reason is the cause. Stays inside this room."""


class Channel(Generic[T]):
    """A first-in first-out queue of at most ``capacity`` items, fed by ``producers`` threads."""

    def __init__(self, capacity: int, producers: int = 1) -> None:
        self._capacity = capacity
        self._producers = producers
        self._items: deque[T] = deque()
        self._failure: BaseException | None = None
        self._changed = Condition()

    def put(self, item: T) -> None:
        """Wait for room and hand over ``item``, or raise Closed once the queue has failed."""
        with self._changed:
            while len(self._items) >= self._capacity and self._failure is None:
                self._changed.wait()
            self._check()
            if self._producers <= 0:
                raise Closed("every producer of this queue has said that it is done")
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> T:
        """Wait for an item; raise Closed once the queue has failed, or has ended and is empty."""
        with self._changed:
            while not self._items and self._producers > 0 and self._failure is None:
                self._changed.wait()
            self._check()
            if not self._items:
                raise Closed("the queue has ended")
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def done(self) -> None:
        """One producer has put its last item; after the last one, readers drain the queue and end."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def fail(self, reason: BaseException) -> None:
        """Drop what is queued and make every waiting and later call raise Closed. The first reason stays."""
        with self._changed:
            if self._failure is None:
                self._failure = reason
            self._items.clear()
            self._changed.notify_all()

    def check(self) -> None:
        """Raise Closed if the queue has failed."""
        with self._changed:
            self._check()

    def __iter__(self) -> Iterator[T]:
        """Yield items until every producer is done; raise Closed if the queue fails first."""
        while True:
            try:
                item = self.get()
            except Closed:
                self.check()
                return
            yield item

    def _check(self) -> None:
        if self._failure is not None:
            raise Closed("the other end of the queue has failed") from self._failure
