"""Who does the reads that one receive brought."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from bascule.wire.nbd.crew import Bounds, Hands
from bascule.wire.nbd.export import Content
from bascule.wire.nbd.memory import MemoryExport
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.options import BlockSizes
from bascule.wire.nbd.protocol.replies import Buffer
from bascule.wire.nbd.protocol.server_handshake import Entry, Offer
from bascule.wire.nbd.transmission import Transmission

MIB = 1024 * 1024
COUNT = 16
NOTHING = memoryview(b"")


class Burst:
    """A client that asks for sixteen blocks at once and leaves when it was answered."""

    def __init__(self) -> None:
        self._asked = b"".join(
            nbd.REQUEST.pack(nbd.REQUEST_MAGIC, 0, nbd.READ, number, number * 4096, 4096)
            for number in range(COUNT)
        )
        self.answered: list[int] = []
        self.all_answered = threading.Event()

    def receive_into(self, buffer: memoryview, _exact: bool, _ahead: memoryview = NOTHING) -> int:
        asked, self._asked = self._asked, b""
        if not asked:
            assert self.all_answered.wait(20)
        buffer[: len(asked)] = asked
        return len(asked)

    def send(self, buffers: Sequence[Buffer]) -> None:
        self.answered.append(nbd.SIMPLE.unpack_from(buffers[0])[2])
        if len(self.answered) == COUNT:
            self.all_answered.set()

    def set_timeout(self, seconds: float) -> None: ...

    def stop_receiving(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Near(MemoryExport):
    """A disk that has everything soon, and notes which threads read."""

    def __init__(self, together: int) -> None:
        super().__init__(MIB)
        self.readers: set[int] = set()
        self._together = threading.Barrier(together)
        self._first = set(range(0, together * 4096, 4096))

    def is_ready(self, _offset: int, _length: int) -> bool:
        return False

    def read_soon(self, offset: int, length: int) -> Content | None:
        if offset in self._first:
            self._together.wait(20)
        self.readers.add(threading.get_ident())
        return super().read_soon(offset, length)


@pytest.mark.parametrize("cores", [1, 2])
def test_reads_that_come_at_once_are_shared_by_as_many_threads_as_there_are_cores(cores: int) -> None:
    client, disk = Burst(), Near(together=cores)
    entry = Entry("", Offer(MIB, 0, BlockSizes(1, 4096), ()), False, ())
    Transmission(client, disk, entry, Bounds(), 20.0, Hands(cores)).run()
    assert sorted(client.answered) == list(range(COUNT))
    assert len(disk.readers) == cores
