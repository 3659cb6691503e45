"""Threads that live and die together, and the flag that asks them to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import Generic, TypeVar

from bascule.model.errors import Cancelled

from .queues import Closed

T = TypeVar("T")


class Cancel:
    """A request to stop, which work looks at between units of a few MiB."""

    def __init__(self) -> None:
        self._requested = Event()

    def request(self) -> None:
        """Ask the work to stop; safe from any thread and from a signal handler."""
        self._requested.set()

    def check(self) -> None:
        """Raise Cancelled once somebody has asked."""
        if self._requested.is_set():
            raise Cancelled(
                "stopped on request before the end",
                cure="start it again when you like: what is durable already is not sent twice",
            )


class Shared(Generic[T]):
    """An iterator that several threads pull from, until it ends or is stopped."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._turn = Lock()
        self._reason: BaseException | None = None

    def stop(self, reason: BaseException) -> None:
        """Make every later pull raise Closed."""
        self._reason = reason

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._turn:
            if self._reason is not None:
                raise Closed("nobody wants more") from self._reason
            return next(self._items)


def together(name: str, tasks: Sequence[Callable[[], None]], stop: Callable[[BaseException], None]) -> None:
    """Run every task in a thread of its own and return when all have ended.

    On the first failure, or when this thread is interrupted, ``stop`` is called
    with the reason and must wake whoever waits. The failure is raised here once
    no thread is left.
    """
    futures: list[Future[None]] = []
    failed: list[Future[None]] = []
    with ThreadPoolExecutor(max(len(tasks), 1), thread_name_prefix=name) as pool:
        try:
            futures.extend(pool.submit(task) for task in tasks)
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Looked at before the others are woken: what fails later fails because of this one.
            failed = [future for future in futures if future.done() and future.exception() is not None]
            stop((failed and failed[0].exception()) or Closed("the work has ended"))
    for future in failed[:1]:
        future.result()
