"""Objects in memory, for tests and simulations: exact, fast, and able to fail on command.

Every touch of an object counts as one operation: a create, a read, a stat, the
start of a listing, and *each name* of a delete. Faults name an operation by its
number, so a test can stop the world at every single one of them and get the same
run each time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from bascule.model.errors import BasculeError, Exists, Missing, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.objects import ObjectInfo

from .names import check_name, check_prefix

Verb = Literal["create", "read", "stat", "list", "delete"]
When = Literal["before", "after"]
_ALL: tuple[Verb, ...] = ("create", "read", "stat", "list", "delete")
T = TypeVar("T")


class Crash(BaseException):
    """The power is cut. Not an Exception, so that no handler carries on after it."""


class SetClock:
    """A clock that stands still until it is set, or slept on."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the journal. ``done`` tells whether it took effect."""

    verb: Verb
    name: str
    done: bool


@dataclass(slots=True)
class _Fault:
    verbs: frozenset[Verb]
    prefix: str
    when: When
    error: type[Unavailable] | type[Crash]
    until: int
    times: int

    def strikes(self, verb: Verb, name: str) -> bool:
        """Count the operation, and tell whether it is one to fail."""
        if verb not in self.verbs or not name.startswith(self.prefix):
            return False
        self.until -= 1
        return -self.times < self.until <= 0


class MemoryStore:
    """The ObjectStore port over a dict."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SetClock()
        self.journal: list[Operation] = []
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._names: list[str] = []
        self._faults: list[_Fault] = []
        self._crashed = False
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._objects)} objects)"

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        check_name(name)

        def effect() -> None:
            if name in self._objects:
                raise Exists(f"there is an object {name} already")
            self._objects[name] = (bytes(data), self.clock.now())
            insort(self._names, name)

        self._run("create", name, effect)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        check_name(name)
        return self._run("read", name, lambda: self._copy(name, offset, buffer.cast("B")))

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        return self._run("stat", name, lambda: self._describe(name))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)

        def effect() -> tuple[ObjectInfo, ...]:
            names = self._after(max(prefix, after), prefix)
            return tuple(self._describe(name) for name in names if name > after)

        return iter(self._run("list", prefix, effect))

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            check_name(name)
            self._run("delete", name, partial(self._remove, name))

    def close(self) -> None:
        """Keep everything: whoever opens the same object again finds it."""

    def fail(
        self, *verbs: Verb, at: int = 1, when: When = "before", prefix: str = "", times: int = 1
    ) -> None:
        """Raise Unavailable before or after the effect of the ``at``-th such operation from now on.

        It goes on for ``times`` such operations. No verbs: of any operation.
        ``prefix`` counts only names that start with it.
        """
        self._faults.append(_Fault(frozenset(verbs or _ALL), prefix, when, Unavailable, at, times))

    def crash(self, *verbs: Verb, at: int = 1, when: When = "before", prefix: str = "") -> None:
        """Cut the power at the ``at``-th such operation (no verbs: that changes something) and stay off."""
        self._faults.append(_Fault(frozenset(verbs or ("create", "delete")), prefix, when, Crash, at, 1))

    def heal(self) -> None:
        """Forget all faults that were planned; a crash stays a crash."""
        self._faults.clear()

    def survivor(self) -> MemoryStore:
        """Return the store as it is found after the crash: the same objects, no faults, an empty journal."""
        other = MemoryStore(self.clock)
        with self._lock:
            other._objects = dict(self._objects)
            other._names = list(self._names)
        return other

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """Return the names there are, without leaving a trace in the journal."""
        with self._lock:
            return tuple(self._after(prefix, prefix))

    def content(self, name: str) -> bytes:
        """Return an object's bytes, without leaving a trace in the journal."""
        with self._lock:
            return self._find(name)[0]

    def tamper(self, name: str, data: bytes | None) -> None:
        """Replace an object's bytes behind everybody's back, or lose it (None)."""
        with self._lock:
            modified = self._objects[name][1]
            self._remove(name)
            if data is not None:
                self._objects[name] = (data, modified)
                insort(self._names, name)

    def _run(self, verb: Verb, name: str, effect: Callable[[], T]) -> T:
        with self._lock:
            if self._crashed:
                raise Crash("the power is off")
            due = [fault for fault in self._faults if fault.strikes(verb, name)]
            for fault in due:
                if fault.when == "before":
                    self._strike(fault, verb, name, done=False)
            try:
                result = effect()
            except BasculeError:
                self.journal.append(Operation(verb, name, done=False))
                raise
            for fault in due:
                self._strike(fault, verb, name, done=True)
            self.journal.append(Operation(verb, name, done=True))
            return result

    def _strike(self, fault: _Fault, verb: Verb, name: str, done: bool) -> None:
        self.journal.append(Operation(verb, name, done))
        self._crashed = fault.error is Crash
        raise fault.error(f"{verb} {name}: made to fail {fault.when} its effect")

    def _find(self, name: str) -> tuple[bytes, float]:
        try:
            return self._objects[name]
        except KeyError:
            raise Missing(f"there is no object {name} in memory") from None

    def _copy(self, name: str, offset: int, buffer: memoryview) -> int:
        part = memoryview(self._find(name)[0])[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def _describe(self, name: str) -> ObjectInfo:
        data, modified = self._find(name)
        return ObjectInfo(name, len(data), modified)

    def _after(self, start: str, prefix: str) -> Iterator[str]:
        for index in range(bisect_left(self._names, start), len(self._names)):
            if not self._names[index].startswith(prefix):
                return
            yield self._names[index]

    def _remove(self, name: str) -> None:
        if self._objects.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]
