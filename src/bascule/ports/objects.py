"""An object store, as recovery points need it: immutable objects, created only if absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing knows of an object; ``modified`` is the store's own clock, seconds since 1970."""

    name: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """A place that keeps objects under names like ``segments/g/s/00000001``.

    All methods may be called from any thread. Names are ASCII letters, digits
    and ``-_.~/``; anything else is Refused. Nothing leaves a driver but Refused
    (with Missing and Exists), Unavailable and Damaged.
    """

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Store ``data`` durably under ``name``, or raise Exists and change nothing.

        When it returns, the object survives a power cut; before, readers see
        nothing of it. Unavailable leaves the outcome unknown: the object may exist.
        ``data`` is not kept after return, so callers reuse the buffer.
        """

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset`` and return the bytes read; fewer only at the object's end.

        Raises Missing if there is no such object; an offset at or past the end reads 0 bytes.
        """

    def stat(self, name: str) -> ObjectInfo:
        """Describe one object, or raise Missing."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Yield objects whose names start with ``prefix`` and sort after ``after``, in name order.

        ``prefix`` is a plain string prefix, not a folder. Objects created or deleted
        while the listing runs may or may not appear; all others appear exactly once.
        The first that is yielded was the first there was at one moment of the call.
        """

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; names that are absent already are no error."""

    def close(self) -> None:
        """Release connections and descriptors."""
