"""Make a disk at hand equal to a point, moving only what differs: the way back of a failback.

The disk is known to resemble a point, the base: the one from which its machine was failed
over. First it is levelled: made equal to the base by digests. For the base's frames are whole where
those of later points cover them in part, and the digest of a frame that is not whole tells nothing. Then
comes what the wanted point holds otherwise than the base, as the two maps tell.

Both halves may be done again after a kill. But who knows that the first one was done leaves it out: the
second has changed the replica since, and digests would find all of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bascule.blocks.cut import BLOCK, FRAME_LIMIT
from bascule.blocks.extents import Extent, merge, split, total
from bascule.data.store import DiskReader
from bascule.model.errors import Refused
from bascule.ports.disks import DiskSource
from bascule.ports.images import Replica

from .durable import Leftovers
from .flow.buffers import Buffer
from .flow.conduct import Conduct
from .journal import Journal
from .pump import pump
from .restore import Restored, restore
from .resync import HOLE, pieces
from .units import Task, Unit, plan, readers_for


@dataclass(slots=True)
class Renewed:
    """Bytes compared with the base, written, made zero, fetched for that, and there since an earlier try."""

    compared_bytes: int = 0
    written_bytes: int = 0
    zeroed_bytes: int = 0
    fetched_bytes: int = 0
    settled_bytes: int = 0


def renew(base: DiskReader, wanted: DiskReader, replica: Replica, conduct: Conduct) -> Renewed:
    """Make ``replica``, which holds ``base``, hold durably what ``wanted`` holds.

    ``wanted`` is of a later point in the same history. A try that was cut short is made again with
    the same base and the same or a later point.
    """
    _check_size(wanted, replica)
    return _did(restore(wanted, replica, conduct, within=list(wanted.changed_since(base))))


def download(wanted: DiskReader, replica: Replica, conduct: Conduct, journal: Journal) -> Renewed:
    """Make ``replica``, whatever it holds, hold durably what ``wanted`` holds; nothing is compared.

    What an earlier try of the same point into the same replica settled, as the journal tells, is left out.
    """
    _check_size(wanted, replica)
    return _did(restore(wanted, replica, conduct, journal))


def _did(restored: Restored) -> Renewed:
    return Renewed(
        0,
        restored.written_bytes,
        restored.zeroed_bytes,
        restored.fetched_bytes,
        restored.settled_bytes,
    )


def level(base: DiskReader, replica: Replica, conduct: Conduct) -> Renewed:
    """Make ``replica``, which resembles ``base``, equal to it, durably."""
    _check_size(base, replica)
    task = Task(base.key, replica, is_known=True, leftovers=Leftovers(lambda: iter(())))
    read_bytes = total(task.reads())
    conduct.meter.expect(read_bytes)
    levellers = [_Leveller(base, replica, conduct) for _ in range(conduct.workers)]
    pump(plan([task], read_bytes), levellers, conduct, readers_for([task], read_bytes))
    replica.flush()
    conduct.meter.finish()
    return Renewed(
        sum(each.did.compared_bytes for each in levellers),
        sum(each.did.written_bytes for each in levellers),
        sum(each.did.zeroed_bytes for each in levellers),
        sum(each.did.fetched_bytes for each in levellers),
    )


def differing_bytes(base: DiskReader, source: DiskSource, conduct: Conduct) -> int:
    """Return how much ``level`` would change of a disk, in whole blocks; it is read and no more."""
    did = level(base, _Untouched(source), conduct)
    return did.written_bytes + did.zeroed_bytes


def _check_size(reader: DiskReader, replica: Replica) -> None:
    if replica.size_bytes != reader.size_bytes:
        raise Refused(
            f"disk {reader.key.disk} has {reader.size_bytes} bytes, its replica has {replica.size_bytes}",
            cure="restore the whole disk",
        )


class _Untouched:
    """A disk that takes what is written to it, and stays as it is."""

    is_zeroed = False

    def __init__(self, source: DiskSource) -> None:
        self.size_bytes = source.size_bytes
        self.is_delta = source.is_delta
        self.is_near = source.is_near
        self.extents = source.extents
        self.expect = source.expect
        self.read_into = source.read_into
        self.read_many = source.read_many

    def write(self, offset: int, data: memoryview) -> None:
        """See DiskSink."""

    def zero(self, extent: Extent) -> None:
        """See DiskSink."""

    def flush(self) -> None:
        """See DiskSink."""

    def close(self) -> None:
        """Leave that to the owner of the source."""


@dataclass(slots=True)
class _Leveller:
    """Writes of each unit what the base holds otherwise. Not thread-safe: one thread, one leveller."""

    base: DiskReader
    replica: Replica
    conduct: Conduct
    did: Renewed = field(default_factory=Renewed)
    _scratch: memoryview = field(default_factory=lambda: memoryview(bytearray(FRAME_LIMIT)))

    def take(self, unit: Unit, buffer: Buffer) -> None:
        """Compare a unit, and write what differs."""
        self.conduct.cancel.check()
        for hole in unit.holes:
            self._fill(hole)
        for at, extent in unit.placed():
            self.did.compared_bytes += extent.length
            self._compare(extent, extent.offset - at, buffer)

    def end(self) -> None:
        """Nothing is left over."""

    def _fill(self, hole: Extent) -> None:
        """The replica is zero here: write what the base holds."""
        for piece, digest in pieces(self.base, hole):
            if digest != HOLE:
                for part in split((piece,), FRAME_LIMIT):
                    self._write(part.offset, self._fetch(part))

    def _compare(self, extent: Extent, shift: int, buffer: Buffer) -> None:
        """``shift`` leads from the buffer to the disk."""
        for piece, digest in pieces(self.base, extent):
            ours = buffer.view[piece.offset - shift : piece.end - shift]
            if digest == HOLE:
                self._empty(piece, shift, buffer)
            elif digest is None or digest != self.base.digest(ours):
                for part in split((piece,), FRAME_LIMIT):
                    self._mend(part, shift, buffer)

    def _empty(self, piece: Extent, shift: int, buffer: Buffer) -> None:
        for run, is_data in buffer.zeroes.runs(piece.offset - shift, piece.length, BLOCK):
            if is_data:
                self.replica.zero(Extent(run.offset + shift, run.length))
                self.did.zeroed_bytes += run.length

    def _mend(self, piece: Extent, shift: int, buffer: Buffer) -> None:
        theirs = self._fetch(piece)
        for run in merge(self._differing(piece, theirs, shift, buffer)):
            start = run.offset - piece.offset
            self._write(run.offset, theirs[start : start + run.length])

    def _differing(self, piece: Extent, theirs: memoryview, shift: int, buffer: Buffer) -> Iterator[Extent]:
        for block in split((piece,), BLOCK):
            start = block.offset - piece.offset
            if buffer.view[block.offset - shift : block.end - shift] != theirs[start : start + block.length]:
                yield block

    def _fetch(self, piece: Extent) -> memoryview:
        self.conduct.spend(piece.length)
        data = self._scratch[: piece.length]
        self.base.read_into(piece.offset, data)
        self.did.fetched_bytes += piece.length
        return data

    def _write(self, offset: int, data: memoryview) -> None:
        self.replica.write(offset, data)
        self.did.written_bytes += len(data)
