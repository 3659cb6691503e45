"""Find out whether a place keeps the promise that recovery points stand on.

Publishing is one create-if-absent. A place that overwrites instead (an old
S3-compatible server that ignores If-None-Match, a gateway that drops the header)
would let two writers both publish; it is refused before anything is written.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bascule.model.errors import BasculeError, Exists, Refused
from bascule.ports.chance import Ids
from bascule.ports.objects import ObjectStore

_RACES = 2
_RACERS = 4
_LONGEST = 64


def check_create_if_absent(store: ObjectStore, ids: Ids) -> None:
    """Prove that a name is created once only, one after the other and in a race; leave nothing behind.

    Raises Refused if the store lies, Unavailable if it does not answer.
    """
    base = f"probe/{ids.random(16).hex()}"
    names = [f"{base}/{number}" for number in range(_RACES + 1)]
    store.create(names[0], b"first")
    try:
        _check_again(store, names[0])
        for name in names[1:]:
            _check_race(store, name)
    except BasculeError:
        with suppress(BasculeError):  # What went wrong first is what counts.
            store.delete(names)
        raise
    store.delete(names)


def _check_again(store: ObjectStore, name: str) -> None:
    try:
        store.create(name, b"second")
    except Exists:
        pass
    else:
        raise _liar(store, "created the same name twice")
    if _content(store, name) != b"first":
        raise _liar(store, "refused a second create and overwrote the object all the same")


def _check_race(store: ObjectStore, name: str) -> None:
    barrier = threading.Barrier(_RACERS)

    def race(number: int) -> bool:
        barrier.wait()
        try:
            store.create(name, b"racer %d" % number)
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(_RACERS) as pool:
        winners = [number for number, won in enumerate(pool.map(race, range(_RACERS))) if won]
    if len(winners) != 1:
        raise _liar(store, f"let {len(winners)} of {_RACERS} racing creates of one name succeed")
    if _content(store, name) != b"racer %d" % winners[0]:
        raise _liar(store, "kept other bytes than those of the create that succeeded")


def _content(store: ObjectStore, name: str) -> bytes:
    buffer = bytearray(_LONGEST)
    return bytes(buffer[: store.read(name, 0, memoryview(buffer))])


def _liar(store: ObjectStore, deed: str) -> Refused:
    return Refused(
        f"{store!r} {deed}: two writers could both publish there",
        cure="use a place with conditional writes: Azure Blob, Amazon S3, a recent MinIO, or a local disk",
        code="no-create-if-absent",
    )
