"""A few threads that do one connection's slow work, with a bound on what may wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from .protocol.requests import Request


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may hold: threads, and requests and bytes to be written that wait for them."""

    workers: int = 4
    requests: int = 128
    payload_bytes: int = 6 * 1024 * 1024


class Crew:
    """Threads that start when there is work for them, at most ``bounds.workers``.

    A thread that dies of an error nobody foresaw calls ``on_death`` and takes no
    other thread with it. One thread submits.
    """

    def __init__(self, work: Callable[[Request], None], on_death: Callable[[], None], bounds: Bounds) -> None:
        self._work = work
        self._on_death = on_death
        self._bounds = bounds
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._room = threading.Condition()
        self._crowded = False  # somebody waits for room
        self._threads: list[threading.Thread] = []
        self._held = 0  # requests that wait or are worked on
        self._payload = 0  # their bytes
        self._dead = False

    def submit(self, request: Request) -> None:
        """Have a request worked on, after waiting for room."""
        size = len(request.payload)
        with self._room:
            while not self._has_room(size):
                self._crowded = True
                self._room.wait()
            self._crowded = False
            self._held += 1
            self._payload += size
            busy = self._held > len(self._threads)
        self._queue.put(request)
        if busy and len(self._threads) < self._bounds.workers:
            thread = threading.Thread(target=self._run, name="nbd-crew", daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until all work is done and the threads have ended."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def _has_room(self, size: int) -> bool:
        if not self._held or self._dead:
            return True
        return self._held < self._bounds.requests and self._payload + size <= self._bounds.payload_bytes

    def _run(self) -> None:
        alive = False
        try:
            while (request := self._queue.get()) is not None:
                self._work(request)
                with self._room:
                    self._held -= 1
                    self._payload -= len(request.payload)
                    if self._crowded:
                        self._room.notify()
            alive = True
        finally:
            if not alive:
                with self._room:
                    self._dead = True
                    self._room.notify()
                self._on_death()
