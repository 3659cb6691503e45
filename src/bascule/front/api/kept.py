"""What was said before is kept, under all that it was made of: what is asked again is not made again.

Nothing is ever taken back here, for nothing here becomes wrong: a key names everything that the bytes follow
from, so a change leads to another key, and what nobody asks for any more is what has to go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

# A key beside its texts, and what it holds alive: an item as the catalog reads it is some 1,500 bytes.
_KEY_BYTES = 2048
_CHARACTER_BYTES = 4


class Kept:
    """Bytes by what they were made of, up to so many, keys included. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._guard = Lock()
        self._found: OrderedDict[tuple[Hashable, ...], bytes] = OrderedDict()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Return how much is held."""
        return self._held

    def made(self, key: tuple[Hashable, ...], make: Callable[[], bytes]) -> bytes:
        """Return what was made of a key, or make it; two that ask at once may both make it."""
        with self._guard:
            known = self._found.get(key)
            if known is not None:
                self._found.move_to_end(key)
                return known
        data = make()
        with self._guard:
            if key not in self._found:
                self._found[key] = data
                self._held += _size(key, data)
            while self._held > self._most:
                self._held -= _size(*self._found.popitem(last=False))
        return data


def _size(key: tuple[Hashable, ...], data: bytes) -> int:
    """Return what an entry may take; texts of a key are as long as whoever asks wants them to be."""
    texts = sum(len(part) for part in key if isinstance(part, str))
    return len(data) + _KEY_BYTES + texts * _CHARACTER_BYTES
