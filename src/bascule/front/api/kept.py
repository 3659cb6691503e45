"""What was said before is kept, under all that it was made of: what is asked again is not made again.

Nothing is ever taken back here, for nothing here becomes wrong: a key names everything that the bytes follow
from, so a change leads to another key, and what nobody asks for any more is what has to go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Made = TypeVar("Made")

# A key beside its texts, and what it holds alive: an item as the catalog reads it is some 1,500 bytes.
_KEY_BYTES = 2048
_CHARACTER_BYTES = 4


class Kept(Generic[Made]):
    """What was made, by what it was made of, up to so many bytes with its keys. Thread-safe.

    It must be such that nobody changes it; ``weigh`` says how many bytes it has.
    """

    def __init__(self, most_bytes: int, weigh: Callable[[Made], int]) -> None:
        self._most = most_bytes
        self._weigh = weigh
        self._guard = Lock()
        self._found: OrderedDict[tuple[Hashable, ...], Made] = OrderedDict()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Return how much is held."""
        return self._held

    def made(self, key: tuple[Hashable, ...], make: Callable[[], Made]) -> Made:
        """Return what was made of a key, or make it; two that ask at once may both make it."""
        with self._guard:
            known = self._found.get(key)
            if known is not None:
                self._found.move_to_end(key)
                return known
        made = make()
        with self._guard:
            if key not in self._found:
                self._found[key] = made
                self._held += _size(key) + self._weigh(made)
            while self._held > self._most:
                gone, was = self._found.popitem(last=False)
                self._held -= _size(gone) + self._weigh(was)
        return made


def _size(key: tuple[Hashable, ...]) -> int:
    """Return what a key may take; its texts are as long as whoever asks wants them to be."""
    return _KEY_BYTES + _CHARACTER_BYTES * sum(len(part) for part in key if isinstance(part, str))
