"""Room held in reserve: on a full store, what makes room must not need room first.

Upkeep begins with a fence, a reader with a pin, a failover with both, and on a full
store none of them could be created. So a vault keeps a few objects that nothing
refers to and nobody reads. When a create of one of these finds no room, a piece is
deleted and the create tried again. Upkeep puts the pieces back when it has given
room back. Readers and failovers leave the last pieces to upkeep. Writers get none:
what they write is what fills the store, and they may wait.

Somebody else may be faster and take what a deleted piece left; then the next piece
goes. The content is random, so that a file system that compresses gives back what
it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from bascule.data.store.format import names
from bascule.model.errors import Exists, Unavailable
from bascule.ports.objects import ObjectStore

PIECE_BYTES = 128 << 10
PIECES = 16
WRITERS_LEAVE = PIECES
READERS_LEAVE = 4
UPKEEP_LEAVES = 0
_NO_ROOM = "no-room"


def create(objects: ObjectStore, name: str, data: bytes | memoryview, leave: int) -> None:
    """Create an object; as long as there is no room for it, give a piece up, down to ``leave`` of them."""
    while True:
        try:
            objects.create(name, data)
            return
        except Unavailable as error:
            if error.code != _NO_ROOM or not _give_up(objects, leave):
                raise


def _give_up(objects: ObjectStore, leave: int) -> bool:
    if leave >= PIECES:
        return False
    pieces = [info.name for info in objects.list(names.RESERVE)]
    if len(pieces) <= leave:
        return False
    objects.delete(pieces[:1])
    return True


def replenish(objects: ObjectStore, random: Callable[[int], bytes]) -> int:
    """Make the pieces that are not there, as far as there is room; return how many are missing then."""
    present = {info.name for info in objects.list(names.RESERVE)}
    missing = [name for number in range(PIECES) if (name := names.reserve(number)) not in present]
    for done, name in enumerate(missing):
        try:
            with suppress(Exists):
                objects.create(name, random(PIECE_BYTES))
        except Unavailable as error:
            if error.code != _NO_ROOM:
                raise
            return len(missing) - done
    return 0
