"""Hands units to a lane of the store: data as frames, zeroes as holes, durable frames by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bascule.blocks.cut import BLOCK, BULK, DELTA, FRAME, FRAME_LIMIT
from bascule.blocks.extents import Extent
from bascule.data.store import Lane

from .flow.buffers import Buffer
from .flow.conduct import Conduct
from .units import Unit


@dataclass(slots=True)
class Tally:
    """What a worker did, in bytes of the disk; ``stored`` counts sealed bytes."""

    sent: int = 0
    adopted: int = 0
    erased: int = 0
    stored: int = 0


class Sender:
    """Sends units through one lane. Not thread-safe: one worker, one sender."""

    def __init__(self, lane: Lane, digest: Callable[[memoryview], bytes], conduct: Conduct) -> None:
        self._lane = lane
        self.digest = digest
        self._conduct = conduct
        self._unspent = 0
        self._waiting: list[tuple[int, memoryview]] = []
        self._waiting_bytes = 0
        self.tally = Tally()

    def take(self, unit: Unit, buffer: Buffer) -> None:
        """Send the data of a unit and erase its zeroes."""
        self.pace()
        for hole in unit.holes:
            self.erase(unit, hole)
        for at, extent in unit.placed():
            self.send(unit, extent, buffer, at)
        self.flush(unit)

    def flush(self, unit: Unit) -> None:
        """Hand over what waits of a unit, whose buffer is another's afterwards."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._lane.write_all(unit.task.key, waiting)

    def end(self) -> None:
        """Hand over what is left in the lane."""
        self._account()
        self._conduct.owe(self._unspent)
        self._lane.close()

    def pace(self) -> None:
        """Wait until the line has carried what was stored since the last call."""
        self._account()
        spent, self._unspent = self._unspent, 0
        self._conduct.spend(spent)

    def send(self, unit: Unit, extent: Extent, buffer: Buffer, at: int) -> None:
        """Send the blocks of ``extent``, which lie at ``at`` in the buffer; zero blocks become holes.

        Some of them wait for others to be sealed with, until ``flush``.
        """
        for run, is_data in buffer.zeroes.runs(at, extent.length, BLOCK):
            place = Extent(run.offset - at + extent.offset, run.length)
            if is_data:
                self._data(unit, place, buffer.view[run.offset : run.end])
            else:
                self.erase(unit, place)

    def erase(self, unit: Unit, extent: Extent) -> None:
        """Make blocks holes, where an older point may have left bytes in them."""
        if unit.task.is_known:
            self._lane.erase(unit.task.key, extent)
            self.tally.erased += extent.length

    def _data(self, unit: Unit, run: Extent, view: memoryview) -> None:
        key = unit.task.key
        shape = DELTA if unit.task.source.is_delta else BULK
        for extent, is_known in unit.durable.cut(run, shape):
            start = extent.offset - run.offset
            data = view[start : start + extent.length]
            frame = unit.durable.match(extent, self.digest(data)) if is_known else None
            if frame is None:
                self._write(unit, extent, data)
                self.tally.sent += extent.length
            else:
                self._lane.adopt(key, frame)
                self.tally.adopted += extent.length

    def _write(self, unit: Unit, extent: Extent, data: memoryview) -> None:
        """Let small frames wait for each other, as far as that fits; large ones are worth a call each."""
        if self._waiting_bytes + extent.length > FRAME_LIMIT:
            self.flush(unit)
        self._waiting.append((extent.offset, data))
        self._waiting_bytes += extent.length
        if extent.length >= FRAME:
            self.flush(unit)

    def _account(self) -> None:
        """Notice what the lane stored meanwhile."""
        fresh = self._lane.stored_bytes - self.tally.stored
        self.tally.stored += fresh
        self._unspent += fresh
        self._conduct.meter.add(0, fresh)
