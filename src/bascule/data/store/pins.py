"""Pins and locks: what keeps a point's data alive.

Both follow one protocol: create the object, then look whether the point is still
listed. The sweep publishes what is removed before it lists pins and locks, so
either it sees ours, or we see that the point is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from bascule.ports.objects import ObjectInfo, ObjectStore

from .format import names

READER_LEASE_SECONDS = 24 * 3600
_RENEW_SECONDS = READER_LEASE_SECONDS / 4
_DURABLE = "-d"


class Hold(NamedTuple):
    """A pin or a lock on a point; ``until`` is None for a pin that never expires."""

    name: str
    group: str
    number: int
    until: float | None


def read_pin(info: ObjectInfo) -> Hold:
    """Read a pin from its name; a reader's pin expires a day after the store took it."""
    _, group, number, pin_id = info.name.split("/")
    until = None if pin_id.endswith(_DURABLE) else info.modified + READER_LEASE_SECONDS
    return Hold(info.name, group, int(number), until)


def read_lock(info: ObjectInfo) -> Hold:
    """Read a lock from its name."""
    _, group, number, rest = info.name.split("/")
    return Hold(info.name, group, int(number), float(rest.split("-", 1)[0]))


def holds(objects: ObjectStore) -> list[Hold]:
    """List all pins and locks of a store."""
    pins = [read_pin(info) for info in objects.list(names.PINS)]
    return pins + [read_lock(info) for info in objects.list(names.LOCKS)]


def pin_id(random: Callable[[int], bytes], *, durable: bool) -> str:
    """Return a new pin's id."""
    return random(8).hex() + (_DURABLE if durable else "")


def held_until(objects: ObjectStore, group: str) -> dict[int, float]:
    """Return until when each locked point of a group is locked."""
    found: dict[int, float] = {}
    for info in objects.list(f"{names.LOCKS}{group}/"):
        hold = read_lock(info)
        found[hold.number] = max(found.get(hold.number, 0.0), hold.until or 0.0)
    return found


class Lease:
    """A reader's own pin, renewed while it is used. Thread-safe."""

    def __init__(
        self,
        take: Callable[[str], str],
        drop: Callable[[str], None],
        monotonic: Callable[[], float],
        pin_id: str,
    ) -> None:
        self._take = take
        self._drop = drop
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._since = monotonic()
        self._pin = take(pin_id)
        self._next = 0
        self.pin_id = pin_id

    def touch(self) -> None:
        """Renew the pin if a good part of its time has passed: first the new one, then the old one goes."""
        if self._monotonic() - self._since < _RENEW_SECONDS:
            return
        with self._guard:
            if self._monotonic() - self._since < _RENEW_SECONDS:
                return
            self._since = self._monotonic()
            self._next += 1
            old, self._pin = self._pin, self._take(f"{self.pin_id}.{self._next}")
            self._drop(old)

    def release(self) -> None:
        """Drop the pin."""
        self._drop(self._pin)


class NoLease:
    """No pin, or one that somebody else keeps."""

    def __init__(self, pin_id: str = "") -> None:
        self.pin_id = pin_id

    def touch(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""
