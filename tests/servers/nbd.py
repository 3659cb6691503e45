"""NBD servers of others, on Unix sockets in a folder of the test: qemu-nbd and nbdkit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from bascule.drivers.hypervisors.readiness import ready
from bascule.wire.nbd.address import Address


class NbdServers:
    """``with NbdServers(tmp_path) as servers``: ready when their methods return, killed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number in range(1, self._count + 1):
            self.end(number)

    def qemu(self, image: Path, *options: str, image_format: str = "raw") -> Address:
        """Serve an image with qemu-nbd."""
        socket, pid_file = self._next()
        command = ["qemu-nbd", "--fork", "--persistent", f"--pid-file={pid_file}", f"--socket={socket}"]
        _run(*command, f"--format={image_format}", *options, str(image))
        return Address(path=str(socket))

    def kit(self, *arguments: str) -> Address:
        """Serve a plugin of nbdkit, filters and all."""
        socket, pid_file = self._next()
        _run("nbdkit", f"--unix={socket}", f"--pidfile={pid_file}", *arguments)
        return Address(path=str(socket))

    def end(self, number: int = -1) -> None:
        """Kill a server, the last one started unless told otherwise, and wait until it is gone."""
        number = self._count if number < 0 else number
        pid_file = self._folder / f"nbd-{number}.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int(pid_file.read_text())
            pid_file.unlink()
            handle = os.pidfd_open(pid)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            # Readable once all its descriptors are closed, its listening socket among them.
            assert ready(20, [handle]), "it does not die"
            os.close(handle)

    def _next(self) -> tuple[Path, Path]:
        self._count += 1
        return self._folder / f"nbd-{self._count}", self._folder / f"nbd-{self._count}.pid"


def content_of(address: Address) -> bytes:
    """Read an export with libnbd's own tool."""
    return subprocess.run(["nbdcopy", str(address), "-"], check=True, capture_output=True, timeout=60).stdout


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
