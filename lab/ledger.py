"""Judge the disks on which machines keep a ledger: are they as they were at one instant?

``programs/ledger.c`` writes record n to disk (n-1) % disks and flushes it before record n+1
is begun, with scattered writes before each record. So on disks as of one instant the newest record says what
every block of all of them holds. Each way of not being so has its own error,
which names machine, disk and record. Blocks of 4096 bytes, numbers little-endian::

    title      magic, birth, slots, scattered, batch: 8 each; disks, disk: 4 each; name: 32
    record     magic, birth, number, time_ns, writes: 8 each; life, disk, previous, peers: 4 each
               8 times birth, number: what was heard of other machines
    both       the last 4 bytes are the CRC-32 of all before them
    scattered  the words w*512, w*512+1, … for write w

Block 0 of a disk is the title, then come ``slots`` records as a ring, then ``scattered`` blocks.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from bascule.drivers.disks.factory import open_source

from .stamps import NotExact

BLOCK = 4096
TITLE, RECORD = b"LEDGER00", b"LEDGER01"
TITLE_HEAD, RECORD_HEAD = struct.Struct("<8sQQQQII32s"), struct.Struct("<8sQQQQIIII")
HEARD = struct.Struct("<QQ")
_SECOND = 1_000_000_000
_WORDS = BLOCK // 8
_STEP = 256  # blocks read at once
_MASK = (1 << 64) - 1


class Torn(NotExact):
    """A block that is half of one write and half of another, or was never written by a ledger."""


class Absent(NotExact):
    """A record or a scattered write is not there, and later ones on the same disk are."""


class OutOfOrder(NotExact):
    """Disks, or machines, that are not of the same instant or not of the same history."""


class FromTheFuture(NotExact):
    """There is more than there can be."""


class Lost(NotExact):
    """There is less than there must be."""


class Disk(Protocol):
    """What is judged: an open source, a disk of a point, an NBD client."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""


class Image:
    """A disk in memory."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._content = memoryview(content)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        buffer[:] = self._content[offset : offset + len(buffer)]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known from elsewhere: records that must be there, and that cannot be.

    ``not_after`` is in seconds since 1970 by the guest's clock. ``instant`` says that the disks are as of
    one instant; without it only what had been flushed is asked for, as after a power cut of caches.
    """

    at_least: int = 0
    at_most: int | None = None
    not_after: float | None = None
    instant: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ledger that is right: its newest record and what that says."""

    name: str
    last: int
    first: int = 0
    time: float = 0.0
    life: int = 0
    birth: int = 0
    writes: int = 0
    heard: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Title:
    birth: int
    slots: int
    scattered: int
    batch: int
    disks: int
    disk: int
    name: str


@dataclass(frozen=True, slots=True)
class _Record:
    birth: int
    number: int
    time_ns: int
    writes: int
    life: int
    disk: int
    previous: int
    checksum: int
    heard: Mapping[int, int]


@contextmanager
def opened(*words: str) -> Iterator[list[Disk]]:
    """Open disks by paths of images or addresses of NBD exports, in the order of the ledger."""
    with ExitStack() as stack:
        disks: list[Disk] = []
        for text in words:
            source = open_source(text)
            stack.callback(source.close)
            disks.append(source)
        yield disks


def judge(disks: Sequence[Disk], bounds: Bounds = Bounds(), *, name: str = "") -> Verdict:
    """Return what the ledger of a machine says, or raise the NotExact that says what is wrong with it."""
    title = _common_title(disks, name)
    if title is None:
        verdict = Verdict(name, 0)
    else:
        rings = [_ring(disk, title, number) for number, disk in enumerate(disks)]
        newest = max((record.number for ring in rings for record in ring if record), default=0)
        history = _history(rings, title, newest)
        verdict = _verdict(title, history)
        if title.scattered:
            areas = [_Scattered(title, number, history, disk) for number, disk in enumerate(disks)]
            reached = max(area.reached for area in areas)
            for area in areas:
                area.judge(reached if bounds.instant else area.flushed)
    _within(verdict, bounds)
    return verdict


def judge_group(
    machines: Mapping[str, Sequence[Disk]], bounds: Mapping[str, Bounds] | None = None
) -> dict[str, Verdict]:
    """Judge several machines of one instant: nobody has heard of a record that its writer does not have."""
    verdicts = {name: judge(disks, (bounds or {}).get(name, Bounds())) for name, disks in machines.items()}
    by_birth = {verdict.birth: (name, verdict) for name, verdict in verdicts.items() if verdict.birth}
    for name, verdict in verdicts.items():
        for birth, number in (verdict.heard or {}).items():
            writer, other = by_birth.get(birth, ("", verdict))
            if writer and other.last < number:
                raise OutOfOrder(
                    f"{name} had heard of record {number} of {writer} when it wrote record {verdict.last}, "
                    f"and {writer} ends at record {other.last}: they are not of one instant"
                )
    return verdicts


def _within(verdict: Verdict, bounds: Bounds) -> None:
    who, last = verdict.name or "the ledger", verdict.last
    if last < bounds.at_least:
        raise Lost(f"{who} ends at record {last}, and record {bounds.at_least} had been acknowledged")
    if bounds.at_most is not None and last > bounds.at_most:
        raise FromTheFuture(f"{who} holds record {last}, and {bounds.at_most} is the last there can be")
    if bounds.not_after is not None and verdict.time > bounds.not_after:
        raise FromTheFuture(
            f"{who} holds record {last} of {verdict.time:.3f}, and none can be after {bounds.not_after:.3f}"
        )


def _common_title(disks: Sequence[Disk], name: str) -> _Title | None:
    """Return the title that all disks have; None if no ledger was begun on them."""
    titles = [_title(_read(disk, 0, 1), f"disk {number}") for number, disk in enumerate(disks)]
    first = titles[0]
    if first is None:
        return None  # The first disk gets its title last: until then nothing was written
    for number, title in enumerate(titles):
        if title is None:
            raise OutOfOrder(f"{first.name}: disk {number} was never begun, and disk 0 was begun after it")
        if (title.birth, title.disks, title.disk) != (first.birth, len(disks), number):
            raise OutOfOrder(
                f"{first.name}: disk {number} is disk {title.disk} of {title.disks} of ledger {title.name} "
                f"{title.birth:016x}, not of {first.birth:016x}"
            )
    if name and first.name != name:
        raise OutOfOrder(f"these are disks of {first.name}, not of {name}")
    return first


def _title(data: memoryview, where: str) -> _Title | None:
    if not any(data):
        return None
    magic, birth, slots, scattered, batch, disks, disk, name = TITLE_HEAD.unpack_from(data)
    if magic != TITLE or not _is_sound(data):
        raise Torn(f"{where} does not begin with the title of a ledger")
    return _Title(birth, slots, scattered, batch, disks, disk, name.rstrip(b"\0").decode())


def _ring(disk: Disk, title: _Title, number: int) -> list[_Record | None]:
    """Return what the slots of a disk hold."""
    found: list[_Record | None] = []
    for slot, data in _blocks(disk, 1, title.slots):
        where = f"{title.name}: disk {number}, slot {slot}"
        record = _record(data, where)
        if record and record.birth != title.birth:
            raise OutOfOrder(f"{where} holds record {record.number} of another ledger")
        if record and (record.disk != number or _place(record.number, title) != (number, slot)):
            raise OutOfOrder(
                f"{where} holds record {record.number} of disk {record.disk}, whose place is elsewhere"
            )
        found.append(record)
    return found


def _record(data: memoryview, where: str) -> _Record | None:
    if not any(data):
        return None
    magic, birth, number, time_ns, writes, life, disk, previous, peers = RECORD_HEAD.unpack_from(data)
    if magic != RECORD or not _is_sound(data):
        what = f"what was to be record {number}" if magic == RECORD else "no record"
        raise Torn(f"{where} holds {what}: its checksum does not fit")
    heard = dict(HEARD.iter_unpack(data[RECORD_HEAD.size : RECORD_HEAD.size + peers * HEARD.size]))
    return _Record(birth, number, time_ns, writes, life, disk, previous, _checksum(data), heard)


def _place(number: int, title: _Title) -> tuple[int, int]:
    """Return disk and slot of a record."""
    turn, disk = divmod(number - 1, title.disks)
    return disk, turn % title.slots


def _history(rings: Sequence[Sequence[_Record | None]], title: _Title, newest: int) -> list[_Record]:
    """Return the records that the rings hold, oldest first; all that must be there are, and fit together."""
    ends = [max((record.number for record in ring if record), default=0) for ring in rings]
    history: list[_Record] = []
    for number in range(max(1, newest - title.slots * title.disks + 1), newest + 1):
        disk, slot = _place(number, title)
        record = rings[disk][slot]
        if record is None or record.number != number:
            raise _gap(title, number, disk, ends)
        if history:
            _follows(record, history[-1], title)
        history.append(record)
    return history


def _gap(title: _Title, number: int, disk: int, ends: Sequence[int]) -> NotExact:
    newest = max(ends)
    if ends[disk] < number:
        return OutOfOrder(
            f"{title.name}: disk {disk} ends at record {ends[disk]}, and disk {ends.index(newest)} holds "
            f"record {newest}, which was written after record {number} of disk {disk} had been flushed"
        )
    return Absent(f"{title.name}: record {number} is missing on disk {disk}, which holds record {ends[disk]}")


def _follows(record: _Record, before: _Record, title: _Title) -> None:
    if record.previous != before.checksum:
        raise OutOfOrder(
            f"{title.name}: record {record.number} on disk {record.disk} (life {record.life}) does not "
            f"follow record {before.number} on disk {before.disk} (life {before.life}): two histories mixed"
        )


def _verdict(title: _Title, history: Sequence[_Record]) -> Verdict:
    if not history:
        return Verdict(title.name, 0, birth=title.birth)
    last = history[-1]
    return Verdict(
        title.name,
        last.number,
        first=history[0].number,
        time=last.time_ns / _SECOND,
        life=last.life,
        birth=title.birth,
        writes=last.writes,
        heard=last.heard,
    )


class _Scattered:
    """What the scattered blocks of one disk hold, and what they must.

    Writes go around the disks like records do, and on each disk around all of its blocks.
    ``writes`` of the newest record were done before it; the batch after it may be under way.
    """

    def __init__(self, title: _Title, number: int, history: Sequence[_Record], disk: Disk) -> None:
        self._title, self._disk = title, number
        self._turn_of = {scatter(turn, title.scattered): turn for turn in range(title.scattered)}
        blocks = _blocks(disk, 1 + title.slots, title.scattered)
        self._found = [self._stamp(data, at) for at, data in blocks]
        done = history[-1].writes if history else 0
        self._end = done + title.batch
        self._newest = max(self._found)
        self.reached = max(done, self._newest)
        # A flush covers one disk: what a record says of its own disk was flushed if another record followed.
        flushed = (record.writes for record in reversed(history[:-1]) if record.disk == number)
        self.flushed = next(flushed, 0)

    def judge(self, sure: int) -> None:
        """Raise unless each block holds the last of the first ``sure`` writes to it, or a later one."""
        if self.reached > self._end:
            raise FromTheFuture(
                f"{self._where} holds write {self.reached}, and {self._end} is the last there can be"
            )
        disks = self._title.disks
        due = (sure - 1 - self._disk) // disks * disks + self._disk + 1  # the last of them to this disk
        if self._newest < due:
            raise OutOfOrder(
                f"{self._where} ends at write {self._newest}, and write {due} had been done when write "
                f"{sure} or the record after it was: the disks are not of one instant"
            )
        for at, number in enumerate(self._found):
            least = self._last_to(at, sure)
            if number < least or self._last_to(at, number) != number:
                raise Absent(f"{self._where}: block {at} holds write {number}, not {least}")

    @property
    def _where(self) -> str:
        return f"{self._title.name}: disk {self._disk}, scattered"

    def _last_to(self, at: int, reached: int) -> int:
        """Return the last write to a block among the first ``reached``, 0 if none."""
        disks, count = self._title.disks, self._title.scattered
        turns = (reached - self._disk + disks - 1) // disks
        turn = self._turn_of[at]
        if turn >= turns:
            return 0
        return (turn + (turns - 1 - turn) // count * count) * disks + self._disk + 1

    def _stamp(self, data: memoryview, at: int) -> int:
        words = array("Q", bytes(data))
        number, odd = divmod(words[0], _WORDS)
        if not number and not any(words):
            return 0
        if odd or words != array("Q", range(words[0], words[0] + _WORDS)):
            raise Torn(f"{self._where}: block {at} holds parts of several writes, the first of them {number}")
        return number


def scatter(turn: int, count: int) -> int:
    """Return a number below ``count``, a power of two: another one for each turn."""
    shift = (count.bit_length() - 1) // 2 + 1
    for _ in range(3):
        turn = (turn * 0x9E3779B97F4A7C15) & _MASK & (count - 1)
        turn ^= turn >> shift
    return turn


def _blocks(disk: Disk, first: int, count: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the number, counted from ``first``, and the content of blocks."""
    for begin in range(0, count, _STEP):
        length = min(_STEP, count - begin)
        data = _read(disk, first + begin, length)
        for at in range(length):
            yield begin + at, data[at * BLOCK : (at + 1) * BLOCK]


def _read(disk: Disk, block: int, count: int) -> memoryview:
    data = memoryview(bytearray(count * BLOCK))
    disk.read_into(block * BLOCK, data)
    return data


def _checksum(data: memoryview) -> int:
    return int.from_bytes(data[-4:], "little")


def _is_sound(data: memoryview) -> bool:
    return zlib.crc32(data[:-4]) == _checksum(data)
