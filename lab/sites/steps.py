"""``python -m lab.sites.steps JOURNAL STEP WORDS…``: ``bascule WORDS…``, which stops dead before a step.

A step is what somebody else can see afterwards: a name made, changed or removed, a process started, a
machine's monitor told something, a remote store asked to create or delete. The process is the real one, and
only what Python tells of itself (audit events) is listened to, and whom we talk to, so no step can be
forgotten in the product. The journal gets a line for each step before it is done. Stopped with SIGSTOP, the
process is there for whoever started it: to kill it, to cut its host's power, to take away what it needs, and
to let it go on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bascule.apps.command_line import main_with
from bascule.drivers.hypervisors.qemu.monitor import Command, Monitor
from bascule.drivers.objects.files.system import Buffer
from bascule.drivers.objects.retry import RetryingStore

_EVENTS = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "subprocess.Popen")
_LOOKS = ("query-", "qmp_capabilities")


class Steps:
    """Counts the steps of this process, and stops it before one of them; 0 is none."""

    def __init__(self, journal: Path, last: int) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._last = last
        self._count = 0
        self._alone = threading.Lock()

    def take(self, what: str) -> None:
        """Write a step down, and stop if it is the one."""
        with self._alone:
            self._count += 1
            os.write(self._journal, f"{self._count} {what}\n".encode(errors="replace"))
            if self._count == self._last:
                os.kill(os.getpid(), signal.SIGSTOP)


def listen(take: Callable[[str], None]) -> None:
    """Have somebody told of each step before it is done, for as long as the process lives."""

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event in _EVENTS:
            take(" ".join([event, *(str(word) for word in arguments[:2])]))

    sys.addaudithook(hear)
    plain = Monitor.run

    def run(self: Monitor, commands: Sequence[Command]) -> list[Any]:
        if told := [command.name for command in commands if not command.name.startswith(_LOOKS)]:
            take(f"monitor {' '.join(told)}")
        return plain(self, commands)

    # Neither is an audit event: what a monitor is sent, and what the store's library does.
    patch.object(Monitor, "run", run).start()
    creates, deletes = RetryingStore.create, RetryingStore.delete

    def create(self: RetryingStore, name: str, data: Buffer) -> None:
        take(f"create {name}")
        creates(self, name, data)

    def delete(self: RetryingStore, names: Iterable[str]) -> None:
        take("delete")
        deletes(self, names)

    patch.object(RetryingStore, "create", create).start()
    patch.object(RetryingStore, "delete", delete).start()


def main() -> None:
    """Be the command."""
    journal, last, *words = sys.argv[1:]
    listen(Steps(Path(journal), int(last)).take)
    main_with(words)


if __name__ == "__main__":
    main()
