"""A few threads that do one connection's slow work, with a bound on what may wait for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

Job = Callable[[], None]


class Hands:
    """The threads of a server that work for clients just now. Thread-safe.

    Where there are as many as cores, one more would only take turns with them.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        self._busy: set[int] = set()

    def __enter__(self) -> None:
        self._busy.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        self._busy.discard(threading.get_ident())

    @property
    def are_wanted(self) -> bool:
        """Tell whether there is a core for one more."""
        return len(self._busy) < self._cores


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

    def __init__(self, on_death: Callable[[], None], bounds: Bounds) -> None:
        self._on_death = on_death
        self._bounds = bounds
        self._queue: SimpleQueue[tuple[Job, int] | None] = SimpleQueue()
        self._room = threading.Condition()
        self._crowded = False  # somebody waits for room
        self._threads: list[threading.Thread] = []
        self._held = 0  # jobs that wait or are worked on
        self._payload = 0  # their bytes
        self._dead = False

    def submit(self, job: Job, size: int = 0) -> None:
        """Have a job done that holds ``size`` bytes, after waiting for room."""
        with self._room:
            while not self._has_room(size):
                self._crowded = True
                self._room.wait()
            self._crowded = False
            self._held += 1
            self._payload += size
            busy = self._held > len(self._threads)
        self._queue.put((job, size))
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
            while (task := self._queue.get()) is not None:
                job, size = task
                job()
                del job, task  # and what they hold
                with self._room:
                    self._held -= 1
                    self._payload -= size
                    if self._crowded:
                        self._room.notify()
            alive = True
        finally:
            if not alive:
                with self._room:
                    self._dead = True
                    self._room.notify()
                self._on_death()
