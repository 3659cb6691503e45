"""Servers of ours and of others to talk to, each on a Unix socket of its own."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.model.errors import BasculeError
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.export import Content
from bascule.wire.nbd.memory import MemoryExport
from bascule.wire.nbd.server import Ended, Server
from lab.waiting import wait_until

MIB = 1024 * 1024


class Rigged(MemoryExport):
    """A disk in memory that waits, fails and counts as a test tells it to."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.cold: set[int] = set()  # offsets that are not ready
        self.soon: set[int] = set()  # offsets that are not ready, and do not wait either
        self.gate = threading.Event()  # what is not ready waits for this
        self.waiting = threading.Semaphore(0)  # released by every read that waits
        self.fault: BasculeError | OSError | ArithmeticError | None = None
        self.flushes = 0
        self.gate.set()

    def is_ready(self, offset: int, length: int) -> bool:
        return offset not in self.cold | self.soon

    def read_soon(self, offset: int, length: int) -> Content | None:
        return super().read_soon(offset, length) if offset in self.soon else None

    def read(self, offset: int, length: int) -> Content:
        if offset in self.cold:
            self.waiting.release()
            assert self.gate.wait(20)
        self._fail()
        return super().read(offset, length)

    def write(self, offset: int, data: memoryview) -> None:
        self._fail()
        super().write(offset, data)

    def zero(self, offset: int, length: int, may_trim: bool) -> None:
        self._fail()
        super().zero(offset, length, may_trim)

    def flush(self) -> None:
        self._fail()
        self.flushes += 1

    def extents(self, context: str, offset: int, length: int) -> Iterator[tuple[int, int]]:
        self._fail()
        return super().extents(context, offset, length)

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def ended() -> list[Ended]:
    """How the connections of ``server`` ended, in order."""
    return []


@pytest.fixture
def disk() -> Rigged:
    return Rigged(16 * MIB)


@pytest.fixture
def server(disk: Rigged, tmp_path: Path, ended: list[Ended]) -> Iterator[Server]:
    exports = {"": disk, "other": MemoryExport(MIB), "fixed": MemoryExport(MIB, read_only=True)}
    with Server(exports, Address(path=str(tmp_path / "s")), report=ended.append) as running:
        yield running


def listens(path: Path) -> bool:
    """Tell whether somebody answers at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., Address]]:
    """Start an NBD server that listens on the socket it is told by ``{socket}``; return its address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, export: str = "") -> Address:
        path = tmp_path / f"peer-{len(started)}"
        started.append(subprocess.Popen([word.replace("{socket}", str(path)) for word in command]))
        wait_until(lambda: listens(path))
        return Address(path=str(path), export=export)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(10)
