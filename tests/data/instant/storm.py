"""A local disk in memory that loses what a real one may lose.

Every operation of ``Folder`` and ``File`` is counted. At a chosen one the process dies, or the power goes:
then whatever was not synced survives or not, 512 bytes by 512 bytes, at random, as
a kernel writes pages back in any order; names made since the folder's last sync
survive up to a random one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from bascule.blocks.extents import Extent
from bascule.model.errors import Refused, Unavailable

TORN = 512
PAGE = 4096


class Struck(BaseException):
    """The process ends here; no handler of the product may catch it."""


@dataclass
class Inode:
    now: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)

    def put(self, offset: int, data: bytes) -> None:
        lay(self.now, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.safe, self.pending = bytearray(self.now), []

    def cut(self, chance: Random) -> None:
        for offset, data in self.pending:
            at = 0
            while at < len(data):
                stop = min((offset + at) // TORN * TORN + TORN - offset, len(data))
                if chance.random() < 0.5:
                    lay(self.safe, offset + at, data[at:stop])
                at = stop
        self.now, self.pending = bytearray(self.safe), []


def lay(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset + len(data):
        target.extend(bytes(offset + len(data) - len(target)))
    target[offset : offset + len(data)] = data


@dataclass
class Disk:
    """What outlives processes: names and bytes."""

    chance: Random = field(default_factory=Random)
    names: dict[str, Inode] = field(default_factory=dict)
    history: list[dict[str, Inode]] = field(default_factory=lambda: [{}])
    owner: object = None
    operations: int = 0
    strike_at: int | None = None
    sync_fails: bool = False
    room: int | None = None

    def step(self, partly: Callable[[], None] | None = None) -> None:
        self.operations += 1
        if self.strike_at is not None and self.operations == self.strike_at:
            if partly is not None:
                partly()
            raise Struck

    def named(self) -> None:
        self.history.append(dict(self.names))

    def die(self) -> None:
        """Let the process die; the page cache lives on."""
        self.owner, self.strike_at = None, None

    def lose_power(self) -> None:
        self.die()
        # Each name is as of some moment since the last sync, whatever became of the others.
        versions = {
            name: [names.get(name) for names in self.history] for seen in self.history for name in seen
        }
        kept = {name: self.chance.choice(inodes) for name, inodes in versions.items()}
        self.names = {name: inode for name, inode in kept.items() if inode is not None}
        self.history = [dict(self.names)]
        for inode in self.names.values():
            inode.cut(self.chance)


class StormFile:
    def __init__(self, disk: Disk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._inode.now[offset : offset + length]).ljust(length, b"\0")

    def is_cached(self, offset: int, length: int) -> bool:
        return True

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        data = bytes(data)
        if self._disk.room is not None:
            self._disk.room -= len(data)
            if self._disk.room < 0:
                raise Unavailable("no room", code="no-room")
        # A write cut short by a kill has written whole pages, or none.
        whole = self._disk.chance.randint(offset // PAGE, (offset + len(data)) // PAGE) * PAGE - offset
        self._disk.step(lambda: self._inode.put(offset, data[: max(whole, 0)]))
        self._inode.put(offset, data)

    def punch(self, offset: int, length: int) -> None:
        self._disk.step()
        self._inode.put(offset, bytes(length))

    def resize(self, size: int) -> None:
        self._disk.step()
        del self._inode.now[size:]
        lay(self._inode.now, size, b"")
        self._inode.pending = [(at, data) for at, data in self._inode.pending if at + len(data) <= size]

    def size(self) -> int:
        return len(self._inode.now)

    def extents(self, offset: int, length: int) -> Iterator[tuple[Extent, bool]]:
        end = offset + length
        while offset < end:
            stop = min(offset // PAGE * PAGE + PAGE, end)
            yield Extent(offset, stop - offset), any(self.read(offset, stop - offset))
            offset = stop

    def sync(self) -> None:
        self._disk.step()
        if self._disk.sync_fails:
            self._inode.pending = []
            raise Unavailable("syncing: input/output error", code="local-disk")
        self._inode.sync()

    def close(self) -> None:
        pass


class StormFolder:
    """``Folder`` on a ``Disk``, for one process."""

    name = "storm"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def lock(self) -> None:
        if self._disk.owner not in (None, self):
            raise Refused("in use", code="in-use")
        self._disk.owner = self

    def open(self, name: str) -> StormFile:
        self._disk.step()
        if name not in self._disk.names:
            self._disk.names[name] = Inode()
            self._disk.named()
        return StormFile(self._disk, self._disk.names[name])

    def exists(self, name: str) -> bool:
        return name in self._disk.names

    def replace(self, source: str, target: str) -> None:
        self._disk.step()
        self._disk.names[target] = self._disk.names.pop(source)
        self._disk.named()

    def remove(self, name: str) -> None:
        self._disk.step()
        if self._disk.names.pop(name, None) is not None:
            self._disk.named()

    def sync(self) -> None:
        self._disk.step()
        self._disk.history = [dict(self._disk.names)]

    def close(self) -> None:
        self._disk.owner = None
