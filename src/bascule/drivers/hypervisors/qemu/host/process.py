"""A QEMU process: found, awaited, ended, and never confused with another one.

QEMU locks its pid file (``-pidfile``) before it opens a disk or a socket, and holds the lock until it ends.
So *running* means that somebody holds the lock, and the kernel tells who: no number in a file is believed.
From the number a descriptor of the process is opened, and then the lock is looked at again: if it has the
same holder, the descriptor is that of our process for good, whatever becomes of the number.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import Refused

from .folder import MachineFolder

_FLOCK = "hhqqi4x"  # struct flock of fcntl(2), where a long has 64 bits
_WORDS = 2000
_KNOWN_TO_CHILDREN = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


def holder(pid_file: Path) -> int:
    """Return the number of the process that holds a pid file, 0 if nobody does."""
    try:
        handle = os.open(pid_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _locker(handle)
    finally:
        os.close(handle)


def is_in_use(image: Path) -> bool:
    """Return whether a process locked anything of an image, as QEMU and its tools do while it is open."""
    try:
        handle = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return _locker(handle) != 0
    finally:
        os.close(handle)


def _locker(handle: int) -> int:
    """Return who keeps us from locking a file: a process, -1 for one without a number, 0 for nobody."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


class Process:
    """A process, held by a descriptor of the kernel. ``close`` lets go of it and ends nothing."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def running(cls, pid_file: Path) -> Process | None:
        """Return the process that holds a pid file, None if nobody does."""
        while pid := holder(pid_file):
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            if holder(pid_file) == pid:
                return cls(descriptor)
            os.close(descriptor)
        return None

    def has_ended(self, within: float = 0) -> bool:
        """Return whether the process ended, or does within so many seconds."""
        return bool(ready(within, [self._descriptor]))

    def kill(self) -> None:
        """End the process at once."""
        try:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Let go of the process; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Launched:
    """A QEMU that this process started, and what it says."""

    def __init__(self, command: Sequence[str], folder: MachineFolder, descriptors: Sequence[int]) -> None:
        self._log = folder.log
        with open(folder.log, "wb") as log:
            try:
                self._child = subprocess.Popen(
                    command,
                    cwd=folder.path,
                    env={name: os.environ[name] for name in _KNOWN_TO_CHILDREN if name in os.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=descriptors,
                    start_new_session=True,  # it outlives us, and whoever kills our group does not mean it
                    umask=0o077,
                )
            except OSError as error:
                raise Refused(
                    f"{folder.name} does not start: {command[0]}: {error.strerror}",
                    cure="install QEMU's system emulator",
                ) from error
        # Whoever starts a process has to take its exit code, or it stays in the list of processes.
        threading.Thread(target=self._child.wait, daemon=True).start()

    def ended(self, within: float) -> int | None:
        """Return the exit code if it ended, or does within so many seconds."""
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._child.wait()

    @property
    def last_words(self) -> str:
        """Return the end of what it said."""
        said = self._log.read_bytes()[-_WORDS:].decode(errors="replace")
        return " / ".join(line.strip() for line in said.splitlines() if line.strip()) or "it says nothing"
