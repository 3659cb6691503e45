"""A journal of small facts about ranges: appended one by one, replaced by a snapshot when it has grown.

    head 96 | snapshot | record 20 | record 20 | …

Each record carries the CRC-32 of itself and all before it, drawn from the file's
own salt, so reading stops at the first record that is torn, lost or stale. A
journal is replaced as a whole: written beside under another name, synced, renamed
over, folder synced; a cut leaves the old one or the new one.

Appending does not sync. A record is then safe from the death of this process, not
from a power cut. The head keeps the kernel's boot id: where it is still the same,
the page cache lived on and every record can be trusted; where it is not, only
what the owner's own rules say was synced.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from bascule.model.errors import Damaged, Refused

from .folder import File, Folder

_HEAD = struct.Struct("<8s16s36s8sQQIII")
_RECORD = struct.Struct("<B3xIQ")
_CRC = struct.Struct("<I")
_MAGIC, _VERSION = b"BASCJNL\n", 1
RECORD_BYTES = _RECORD.size + _CRC.size
# About 50,000 records: reading them back takes less than a tenth of a second.
RECORDS_BYTES_MAX = 1 << 20


class Record(NamedTuple):
    """``kind`` happened to ``units`` units from ``first`` on; ``at`` is where the record begins."""

    at: int
    kind: int
    first: int
    units: int


class Contents(NamedTuple):
    """What a journal held when it was opened."""

    snapshot: bytes
    records: list[Record]
    is_same_boot: bool


def boot_id() -> str:
    """Return what names this run of the kernel; empty, and never trusted, where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Journal:
    """An open journal. Not thread-safe."""

    def __init__(self, file: File, at: int, crc: int) -> None:
        self._file = file
        self._crc = crc
        self._first = at
        self.position = at

    @classmethod
    def create(
        cls, folder: Folder, name: str, about: tuple[bytes, int], snapshot: bytes, boot: str
    ) -> Journal:
        """Replace the journal ``name`` by one that holds ``snapshot``; durable on return.

        ``about`` names the purpose and the size of the disk; opening for another is refused.
        """
        purpose, size_bytes = about
        salt = os.urandom(16)
        fields = (
            _MAGIC,
            salt,
            boot.encode(),
            purpose,
            size_bytes,
            len(snapshot),
            zlib.crc32(snapshot),
            _VERSION,
        )
        head = _HEAD.pack(*fields, 0)
        head = _HEAD.pack(*fields, zlib.crc32(head))
        fresh = f"{name}.new"
        file = folder.open(fresh)
        file.resize(0)
        file.write(0, head + snapshot)
        file.sync()
        folder.replace(fresh, name)
        folder.sync()
        return cls(file, len(head) + len(snapshot), zlib.crc32(salt))

    @classmethod
    def open(cls, folder: Folder, name: str, about: tuple[bytes, int], boot: str) -> tuple[Journal, Contents]:
        """Read a journal back, up to its first record that is not whole."""
        purpose, size_bytes = about
        # Whoever renamed it into place may have died before this; what is built upon the name must not be
        # more durable than the name.
        folder.sync()
        file = folder.open(name)
        data = file.read(0, file.size())
        where = f"{folder.name}/{name}"
        salt, written_in, snapshot = _read_head(data, purpose, size_bytes, where)
        journal = cls(file, _HEAD.size + len(snapshot), zlib.crc32(salt))
        records = journal._replay(data)
        return journal, Contents(snapshot, records, bool(boot) and boot == written_in)

    @property
    def is_long(self) -> bool:
        """Tell whether it is time for a snapshot: never before it has outgrown the last one."""
        return self.position - self._first > max(RECORDS_BYTES_MAX, self._first)

    def append(self, kind: int, first: int, count: int) -> None:
        """Add a record; if this raises, nothing was added."""
        body = _RECORD.pack(kind, count, first)
        crc = zlib.crc32(body, self._crc)
        self._file.write(self.position, body + _CRC.pack(crc))
        self._crc = crc
        self.position += RECORD_BYTES

    def sync(self) -> None:
        """Return when all records survive a power cut."""
        self._file.sync()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._file.close()

    def _replay(self, data: bytes) -> list[Record]:
        records = []
        for at in range(self.position, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
            crc = zlib.crc32(data[at : at + _RECORD.size], self._crc)
            if crc != _CRC.unpack_from(data, at + _RECORD.size)[0]:
                break
            kind, count, first = _RECORD.unpack_from(data, at)
            records.append(Record(at, kind, first, count))
            self._crc = crc
            self.position = at + RECORD_BYTES
        return records


def _read_head(data: bytes, purpose: bytes, size_bytes: int, where: str) -> tuple[bytes, str, bytes]:
    if len(data) < _HEAD.size:
        raise Damaged(f"{where} is cut short", cure="it was synced before it got its name: look to the disk")
    magic, salt, boot, kind, size, length, snapshot_crc, version, crc = _HEAD.unpack_from(data)
    blank = data[: _HEAD.size - _CRC.size] + bytes(_CRC.size)
    if magic != _MAGIC or crc != zlib.crc32(blank):
        raise Damaged(f"{where} is not a journal, or its head was changed")
    if version != _VERSION or kind.rstrip(b"\0") != purpose:
        raise Refused(f"{where} is a journal of another kind or version")
    if size != size_bytes:
        raise Refused(f"{where} belongs to a disk of {size} bytes, not to one of {size_bytes}")
    snapshot = data[_HEAD.size : _HEAD.size + length]
    if zlib.crc32(snapshot) != snapshot_crc:
        raise Damaged(f"the snapshot in {where} was changed", cure="look to the disk it lies on")
    return salt, boot.rstrip(b"\0").decode(), snapshot
