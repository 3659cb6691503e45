"""A machine in memory that keeps the promises of ``ports.machines`` and nothing else.

``FakeHost`` is the hypervisor: what it records outlives those who adopt its machine, and
``lose_power`` forgets it as a real one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bascule.blocks.bitmap import Bitmap
from bascule.blocks.extents import Extent
from bascule.model.errors import Off, Refused, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.machines import FrozenDisk, Recorded, Tracking

GRANULARITY = 65536
_SCHEME = "fake:"


@dataclass(slots=True)
class _Record:
    """What changed on a disk since somebody asked for it to be recorded."""

    marks: Bitmap
    is_recording: bool = True


@dataclass(slots=True, eq=False)
class FakeDisk:
    """The image of a disk, and what is recorded of its changes."""

    content: bytearray
    records: dict[str, _Record] = field(default_factory=dict)

    def record(self, name: str) -> None:
        """Begin to record changes under a name, unless that is done already."""
        self.records.setdefault(name, _Record(Bitmap(len(self.content), GRANULARITY)))


class FakeHost:
    """A host with one machine. ``disks`` are their first contents."""

    def __init__(self, disks: Mapping[str, bytes], name: str = "fake") -> None:
        self.name = name
        self.is_up = True
        self.is_held = False
        self.disks = {disk: FakeDisk(bytearray(content)) for disk, content in disks.items()}
        self.images: dict[str, FakeSource] = {}

    def write(self, disk: str, offset: int, data: bytes) -> None:
        """Write as the guest does; one that is held cannot."""
        if self.is_held:
            raise AssertionError(f"{self.name} stands still and writes nothing")
        found = self.disks[disk]
        found.content[offset : offset + len(data)] = data
        for record in found.records.values():
            if record.is_recording:
                record.marks.mark(Extent(offset, len(data)))

    def lose_power(self) -> None:
        """End the machine without a goodbye: the disks stay, what was recorded is gone."""
        self.is_up = self.is_held = False
        self.images.clear()
        for disk in self.disks.values():
            disk.records.clear()

    def open(self, words: str) -> FakeSource:
        """Open a frozen disk by its words."""
        source = self.images.get(words)
        if source is None:
            raise Unavailable(f"nothing is served at {words}")
        return source


class FakeSource:
    """See ``ports.disks.DiskSource``."""

    is_near = False

    def __init__(self, content: bytes, changed: Bitmap | None) -> None:
        self.size_bytes = len(content)
        self.is_delta = changed is not None
        self._content = memoryview(content)
        self._changed = changed

    def extents(self) -> Iterator[Extent]:
        """Yield what changed, or the whole disk."""
        return iter((Extent(0, self.size_bytes),)) if self._changed is None else self._changed.extents()

    def expect(self, extents: Sequence[Extent]) -> None:
        """See DiskSource; there is nothing to begin."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See DiskSource."""
        buffer[:] = self._content[offset : offset + len(buffer)]

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """See DiskSource."""
        for offset, buffer in pieces:
            self.read_into(offset, buffer)

    def close(self) -> None:
        """Hold nothing."""


class FakeFrozen:
    """See ``ports.machines.Frozen``."""

    def __init__(self, host: FakeHost, token: str, since: Tracking, captured_at: float) -> None:
        self._host = host
        self._token = token
        self._since = {
            name: since[name] for name, disk in host.disks.items() if since.get(name, "") in disk.records
        }
        self.captured_at = captured_at
        for name, disk in host.disks.items():
            disk.records[token] = _Record(Bitmap(len(disk.content), GRANULARITY))
            before = disk.records[self._since[name]] if name in self._since else None
            if before is not None:
                before.is_recording = False
            host.images[self._words(name)] = FakeSource(
                bytes(disk.content), None if before is None else before.marks
            )

    def _words(self, disk: str) -> str:
        return f"{_SCHEME}{self._token}/{disk}"

    @property
    def disks(self) -> tuple[FrozenDisk, ...]:
        """See Frozen."""
        return tuple(
            FrozenDisk(name, len(disk.content), self._words(name), name in self._since)
            for name, disk in self._host.disks.items()
        )

    @property
    def tracking(self) -> Tracking:
        """See Frozen."""
        return dict.fromkeys(self._host.disks, self._token)

    def thaw(self) -> None:
        """See Frozen."""
        if not self._host.is_up:
            raise Unavailable("the machine is gone")
        for name in self._host.disks:
            self._host.images.pop(self._words(name), None)

    def keep(self) -> None:
        """See Frozen."""
        self.thaw()
        for disk in self._host.disks.values():
            disk.records = {name: record for name, record in disk.records.items() if name == self._token}

    def drop(self) -> None:
        """See Frozen."""
        self.thaw()
        for name, disk in self._host.disks.items():
            take_back(disk.records, self._since.get(name, ""), self._token)


def take_back(records: dict[str, _Record], since: str, token: str) -> None:
    """Add to one record what a later one holds, and remove that."""
    later = records.pop(token)
    if since:
        before = records[since]
        before.is_recording = True
        for extent in later.marks.extents():
            before.marks.mark(extent)


class FakeFreezing:
    """See ``ports.machines.Freezing``."""

    def __init__(self, host: FakeHost, take: Callable[[], FakeFrozen]) -> None:
        self._host = host
        self._take = take
        self._frozen: FakeFrozen | None = None
        self._is_holding = False

    def hold(self) -> None:
        """See Freezing."""
        must_be_up(self._host)
        self._host.is_held = self._is_holding = True

    def cut(self) -> None:
        """See Freezing."""
        must_be_up(self._host)
        self._frozen = self._take()

    def release(self) -> None:
        """See Freezing."""
        was_holding, self._is_holding = self._is_holding, False
        if was_holding and not self._host.is_held:
            raise Unavailable("the machine did not stand still as long as it was to", cure="try again")
        self._host.is_held = False

    def show(self) -> FakeFrozen:
        """See Freezing."""
        assert self._frozen is not None, "show comes after cut"
        return self._frozen

    def cancel(self) -> None:
        """See Freezing."""
        with suppress(Unavailable):
            self.release()
        if self._frozen is not None:
            self._frozen.drop()


def must_be_up(host: FakeHost) -> None:
    """Raise Off if the machine is off."""
    if not host.is_up:
        raise Off("the machine is gone", cure="start it")


class FakeMachine:
    """See ``ports.machines.RunningMachine``."""

    def __init__(self, host: FakeHost, clock: Clock, ids: Ids) -> None:
        must_be_up(host)
        self._host = host
        self._clock = clock
        self._ids = ids

    @property
    def name(self) -> str:
        """See RunningMachine."""
        return self._host.name

    def settle(self, tracking: Tracking) -> Tracking:
        """See RunningMachine."""
        must_be_up(self._host)
        self._host.is_held = False
        self._host.images.clear()
        return {
            name: tracking[name]
            for name, disk in self._host.disks.items()
            if self._settled(disk, tracking.get(name, ""))
        }

    def _settled(self, disk: FakeDisk, wanted: str) -> bool:
        later = [name for name in disk.records if name != wanted]
        found = disk.records.get(wanted)
        for name in later:
            take_back(disk.records, wanted if found and not found.is_recording else "", name)
        return found is not None

    def freeze(self, since: Tracking) -> FakeFrozen:
        """See RunningMachine."""
        self._check()
        return self._frozen(since)

    def prepare(self, since: Tracking) -> FakeFreezing:
        """See RunningMachine."""
        self._check()
        return FakeFreezing(self._host, lambda: self._frozen(since))

    def _frozen(self, since: Tracking) -> FakeFrozen:
        return FakeFrozen(self._host, self._ids.random(4).hex(), since, self._clock.now())

    def _check(self) -> None:
        must_be_up(self._host)
        if not self._host.disks:
            raise Refused("this machine has no disk that it may write to")

    def recorded(self, since: Tracking) -> dict[str, Recorded]:
        """See RunningMachine."""
        must_be_up(self._host)
        found = {}
        for name, disk in self._host.disks.items():
            record = disk.records.get(since.get(name, ""))
            changed = None if record is None else sum(extent.length for extent in record.marks.extents())
            found[name] = Recorded(len(disk.content), changed)
        return found

    def close(self) -> None:
        """See RunningMachine."""
        self._host.is_held = False
