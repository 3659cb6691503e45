"""Read many objects in order, a handful at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

from bascule.data.store.format.entries import Entry
from bascule.data.store.log import Log
from bascule.model.errors import Damaged, Missing
from bascule.ports.objects import ObjectInfo

_AT_ONCE = 64
_THREADS = 8
A = TypeVar("A")
B = TypeVar("B")


def each(read: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Yield what ``read`` returns for each item, in their order, with several under way at once."""
    waiting = iter(items)
    with ThreadPoolExecutor(_THREADS, "scan") as pool:
        while chunk := list(islice(waiting, _AT_ONCE)):
            yield from pool.map(read, chunk)


def entries(log: Log[Entry], listed: Iterable[ObjectInfo], *, tolerant: bool = False) -> Iterator[Entry]:
    """Yield the entries that were listed, in that order; those that are gone are passed over.

    With ``tolerant`` so are those that are damaged.
    """
    for entry in each(partial(_glance, log, tolerant), listed):
        if entry is not None:
            yield entry


def _glance(log: Log[Entry], tolerant: bool, info: ObjectInfo) -> Entry | None:
    try:
        return log.glance(info)
    except Missing:
        return None
    except Damaged:
        if tolerant:
            return None
        raise
