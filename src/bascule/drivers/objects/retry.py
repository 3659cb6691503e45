"""Ask again when the place did not answer, and only then.

A create whose earlier attempt had an unknown outcome and that now says Exists
reads the object back: the same bytes mean that the earlier attempt did arrive. So
whoever needs to know that *it* created an object puts something of its own into
it, as the store's entries do with a nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import structlog

from bascule.model.errors import Exists, Missing, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.objects import ObjectInfo, ObjectStore

from .files.system import Buffer

T = TypeVar("T")
_COMPARED = 1 << 20
_BATCH = 256  # Each batch of deletes has all attempts for itself.

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits grow by two from first to longest, each shortened by chance to as little as a half."""

    attempts: int = 8
    first_seconds: float = 0.2
    longest_seconds: float = 15.0

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after failed attempt number ``attempt`` (from 1), with ``chance`` in 0..1."""
        grown = min(self.first_seconds * 2.0 ** min(attempt - 1, 60), self.longest_seconds)
        return grown * (0.5 + chance / 2)


class RetryingStore:
    """The ObjectStore port over another one; gives up after a bounded number of attempts."""

    def __init__(self, inner: ObjectStore, clock: Clock, ids: Ids, backoff: Backoff | None = None) -> None:
        self._inner = inner
        self._clock = clock
        self._ids = ids
        self._backoff = backoff or Backoff()

    def __repr__(self) -> str:
        return f"RetryingStore({self._inner!r})"

    def create(self, name: str, data: Buffer) -> None:
        in_doubt = False

        def attempt() -> None:
            nonlocal in_doubt
            try:
                self._inner.create(name, data)
            except Unavailable:
                in_doubt = True
                raise

        try:
            self._persist(attempt, "create", name)
        except Exists:
            if not (in_doubt and self._holds(name, data)):
                raise

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        return self._persist(lambda: self._inner.read(name, offset, buffer), "read", name)

    def stat(self, name: str) -> ObjectInfo:
        return self._persist(lambda: self._inner.stat(name), "stat", name)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        failures = 0
        while True:
            try:
                for info in self._inner.list(prefix, after):
                    yield info
                    # Take up from here; and the place is well again.
                    after, failures = info.name, 0
                return
            except Unavailable as error:
                failures += 1
                self._wait(failures, error, "list", prefix)

    def delete(self, names: Iterable[str]) -> None:
        waiting = iter(names)
        while batch := tuple(islice(waiting, _BATCH)):
            self._persist(partial(self._inner.delete, batch), "delete", batch[0])

    def close(self) -> None:
        self._inner.close()

    def _persist(self, attempt: Callable[[], T], verb: str, name: str) -> T:
        failures = 0
        while True:
            try:
                return attempt()
            except Unavailable as error:
                failures += 1
                self._wait(failures, error, verb, name)

    def _wait(self, failures: int, error: Unavailable, verb: str, name: str) -> None:
        """Wait before the next attempt, or raise ``error`` when there is none."""
        if failures >= self._backoff.attempts:
            raise error
        seconds = self._backoff.delay(failures, int.from_bytes(self._ids.random(4)) / (2**32 - 1))
        log.warning(
            "objects.retried", verb=verb, name=name, failures=failures, wait=seconds, reason=str(error)
        )
        self._clock.sleep(seconds)

    def _holds(self, name: str, data: Buffer) -> bool:
        """Tell whether the object is ``data``; one that is gone again was not ours to judge."""
        view = memoryview(data).cast("B")
        buffer = memoryview(bytearray(min(_COMPARED, len(view))))
        try:
            if self.stat(name).size != len(view):
                return False
            for start in range(0, len(view), _COMPARED):
                count = self.read(name, start, buffer)
                if buffer[:count] != view[start : start + len(buffer)]:
                    return False
        except Missing:
            return False
        return True
