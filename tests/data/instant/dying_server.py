"""Serve and hydrate a machine, and die by SIGKILL at a chosen operation on the local disk.

    python -m tests.data.instant.dying_server STORE FOLDER SOCKET OPERATION

Once all is hydrated it says how many operations that took. OPERATION 0 dies of nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from bascule.apps.chance import SystemClock
from bascule.data.instant import hydrate
from bascule.data.instant.holding import Wanted
from bascule.data.instant.local.folder import Buffer, LocalFile, LocalFolder
from bascule.data.instant.server import PointServer, Terms
from bascule.drivers.objects.local import LocalStore
from bascule.wire.nbd.address import Address
from tests.data.instant.points import GROUP, MACHINE, opened


class Countdown:
    """Counts what touches the disk; at its end half of a write is done, and the process is no more."""

    def __init__(self, strike_at: int) -> None:
        self.count = 0
        self._strike_at = strike_at
        self._guard = threading.Lock()

    def step(self) -> bool:
        with self._guard:
            self.count += 1
            return self.count == self._strike_at

    def strike(self) -> None:
        if self.step():
            os.kill(os.getpid(), signal.SIGKILL)


class DyingFile(LocalFile):
    countdown: Countdown

    def write(self, offset: int, data: Buffer) -> None:
        if self.countdown.step():
            super().write(offset, memoryview(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(offset, data)

    def sync(self) -> None:
        self.countdown.strike()
        super().sync()

    def resize(self, size: int) -> None:
        self.countdown.strike()
        super().resize(size)


class DyingFolder(LocalFolder):
    countdown: Countdown

    def open(self, name: str) -> LocalFile:
        self.countdown.strike()
        file = super().open(name)
        file.__class__ = DyingFile
        return file

    def replace(self, source: str, target: str) -> None:
        self.countdown.strike()
        super().replace(source, target)

    def remove(self, name: str) -> None:
        self.countdown.strike()
        super().remove(name)

    def sync(self) -> None:
        self.countdown.strike()
        super().sync()


def main(store: str, folder: str, socket: str, operation: str) -> None:
    hydrate._COMMIT_BYTES = 1
    DyingFolder.countdown = DyingFile.countdown = Countdown(int(operation))
    objects = LocalStore(store)
    terms = Terms(Address(path=socket), writable=True, hydrate=True, settling_seconds=0)
    server = PointServer(
        lambda: opened(objects), Wanted(GROUP, None, MACHINE), terms, SystemClock(), Path(folder), DyingFolder
    )
    server.start()
    server.settled.wait()
    sys.stdout.write(f"{DyingFolder.countdown.count}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
