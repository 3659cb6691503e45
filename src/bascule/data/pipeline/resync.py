"""Make the replica equal to the source again by comparing digests (R-R-2).

The source is read, its digests are compared with those that the store keeps of the
newest point, and only what differs is sent, as a new point. A frame whose digest
differs is fetched, so that of its blocks only those that differ travel.

A kill does not mean starting again: what was found equal is in the journal and not
read twice, what was sent is durable and adopted. Equal holds between one frozen
image and one point: who resumes with an image that moved on begins without marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bascule.blocks.cut import BLOCK, FRAME_LIMIT
from bascule.blocks.extents import Extent, merge, split, total
from bascule.data.store import DiskKey, DiskReader, GroupWriter, Vault

from .copy import Capture, Copied, send, tasks_of
from .flow.buffers import Buffer
from .flow.conduct import Conduct
from .journal import Journal
from .sender import Sender
from .units import Unit

# What a replica's hole has for a digest.
HOLE = b""


@dataclass(slots=True)
class Compared:
    """Bytes compared with the replica, found equal, and fetched from it because digests differed."""

    compared_bytes: int = 0
    equal_bytes: int = 0
    fetched_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Resynced:
    """What a resync sent and what it compared; ``settled_bytes`` an earlier try had found equal."""

    copied: Copied
    compared: Compared
    settled_bytes: int


def resync(
    vault: Vault, writer: GroupWriter, capture: Capture, conduct: Conduct, journal: Journal | None = None
) -> Resynced:
    """Compare the disks of ``capture`` with the newest point, send what differs, and publish it as a point.

    Raises Missing if the group has no point to compare with: copy the disks then.
    """
    tasks = tasks_of(writer, capture)
    with vault.point(writer.group, purpose="resync") as base:
        replicas = {task.key: base.disk(task.key) for task in tasks if task.is_known}
        if journal is not None:
            # Marks about another point than this one mean nothing.
            journal.open(f"{base.info.group}/{base.info.number}")
            tasks = [
                replace(task, settled=journal.settled(task.key, task.source.size_bytes)) for task in tasks
            ]
        comparers: list[_Comparer] = []

        def comparer(sender: Sender) -> _Comparer:
            comparers.append(_Comparer(sender, replicas, journal))
            return comparers[-1]

        try:
            copied = send(writer, capture, tasks, conduct, comparer)
        finally:
            # Whatever ended it, equal is equal.
            if journal is not None:
                journal.keep(_nothing)
    settled = sum(total(task.settled.extents()) for task in tasks if task.settled is not None)
    return Resynced(copied, _sum([each.did for each in comparers]), settled)


def _sum(parts: list[Compared]) -> Compared:
    return Compared(
        sum(part.compared_bytes for part in parts),
        sum(part.equal_bytes for part in parts),
        sum(part.fetched_bytes for part in parts),
    )


class _Comparer:
    """Sends of each unit only what differs. Not thread-safe: one thread, one comparer."""

    def __init__(
        self, sender: Sender, replicas: Mapping[DiskKey, DiskReader], journal: Journal | None
    ) -> None:
        self._sender = sender
        self._replicas = replicas
        self._journal = journal
        self._scratch = memoryview(bytearray(FRAME_LIMIT))
        self.did = Compared()

    def take(self, unit: Unit, buffer: Buffer) -> None:
        """Compare a unit and send what differs."""
        replica = self._replicas.get(unit.task.key)
        if replica is None:
            self._sender.take(unit, buffer)
            return
        self._sender.pace()
        look = _Look(unit, buffer, replica, self._sender, self._scratch, self.did)
        equal = list(merge(look.equal()))
        self._sender.flush(unit)
        if self._journal is not None:
            self._journal.mark(unit.task.key, equal, _nothing)

    def end(self) -> None:
        """Hand over what is left in the lane."""
        self._sender.end()


def _nothing() -> None:
    """Equal is a fact about two things that last; there is nothing to flush."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One unit beside its replica: yields what is equal, and sends the rest on the way."""

    unit: Unit
    buffer: Buffer
    replica: DiskReader
    sender: Sender
    scratch: memoryview
    did: Compared

    def equal(self) -> Iterator[Extent]:
        for hole in self.unit.holes:
            yield from self._zero(hole)
        for at, extent in self.unit.placed():
            self.did.compared_bytes += extent.length
            for same in self._compare(extent, extent.offset - at):
                self.did.equal_bytes += same.length
                yield same

    def _zero(self, hole: Extent) -> Iterator[Extent]:
        """The source is zero here: erase what the replica holds."""
        for piece, digest in pieces(self.replica, hole):
            if digest == HOLE:
                yield piece
            else:
                self.sender.erase(self.unit, piece)

    def _compare(self, extent: Extent, shift: int) -> Iterator[Extent]:
        """``shift`` leads from the buffer to the disk."""
        for piece, digest in pieces(self.replica, extent):
            at = piece.offset - shift
            if digest == HOLE:
                yield from self._beside_hole(piece, shift)
            elif digest is not None and digest == self.sender.digest(
                self.buffer.view[at : at + piece.length]
            ):
                yield piece
            else:
                for part in split((piece,), FRAME_LIMIT):
                    yield from self._block_by_block(part, shift)

    def _beside_hole(self, piece: Extent, shift: int) -> Iterator[Extent]:
        for run, is_data in self.buffer.zeroes.runs(piece.offset - shift, piece.length, BLOCK):
            place = Extent(run.offset + shift, run.length)
            if is_data:
                self.sender.send(self.unit, place, self.buffer, run.offset)
            else:
                yield place

    def _block_by_block(self, piece: Extent, shift: int) -> Iterator[Extent]:
        """Fetch the replica's bytes and send the blocks that differ."""
        theirs = self._fetch(piece)
        differ: list[Extent] = []
        for block in split((piece,), BLOCK):
            ours = self.buffer.view[block.offset - shift : block.end - shift]
            start = block.offset - piece.offset
            if self.sender.digest(ours) == self.sender.digest(theirs[start : start + block.length]):
                yield block
            else:
                differ.append(block)
        for run in merge(differ):
            self.sender.send(self.unit, run, self.buffer, run.offset - shift)

    def _fetch(self, piece: Extent) -> memoryview:
        """Read the replica; past its end it is zero."""
        theirs = self.scratch[: piece.length]
        known = max(min(piece.end, self.replica.size_bytes) - piece.offset, 0)
        self.replica.read_into(piece.offset, theirs[:known])
        theirs[known:] = bytes(piece.length - known)
        self.did.fetched_bytes += known
        return theirs


def pieces(replica: DiskReader, extent: Extent) -> Iterator[tuple[Extent, bytes | None]]:
    """Yield the replica's digests over ``extent``, in whole blocks although the disks may differ in size.

    The digest of a piece that one of the disks ends in is of another length, so it
    never matches, and the block is compared byte by byte.
    """
    at = extent.offset
    for piece, digest in replica.digests(extent.offset, extent.length):
        end = min(-(-piece.end // BLOCK) * BLOCK, extent.end)
        yield Extent(at, end - at), digest
        at = end
    if at < extent.end:
        yield Extent(at, extent.end - at), HOLE
