"""``bascule copy`` with a store that throws segments away: the ceiling of the copy itself.

python -m benchmarks.data.programs.no_write SOURCE ROOM
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bascule.apps.tools import SystemTools
from bascule.drivers.objects.memory import MemoryStore
from bascule.front.cli.app import build
from bascule.ports.objects import ObjectInfo, ObjectStore


class NoWriteStore:
    """Keeps small objects, forgets segments."""

    def __init__(self) -> None:
        self._small = MemoryStore()

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        if not name.startswith("segments/"):
            self._small.create(name, data)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        return self._small.read(name, offset, buffer)

    def stat(self, name: str) -> ObjectInfo:
        return self._small.stat(name)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._small.list(prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        self._small.delete(names)

    def close(self) -> None:
        """Keep what there is: the next command opens it again."""


class Tools(SystemTools):
    """The real tools, but for the store."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self._store = NoWriteStore()

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> ObjectStore:
        """Return the same store for every address."""
        del place, create, direct_reads
        return self._store


def main() -> None:
    source, room = sys.argv[1], Path(sys.argv[2])
    key = room / "no-write.key"
    app, tools = build(), Tools({"BASCULE_KEY_FILE": str(key)})
    if not key.exists():
        app(["key", "create", str(key)], obj=tools, standalone_mode=False)
    for words in (["store", "init", "nowhere"], ["copy", source, "nowhere", "--group", "bench"]):
        app(words, obj=tools, standalone_mode=False)


if __name__ == "__main__":
    main()
