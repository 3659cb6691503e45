"""A second process that lets a machine go on when whoever replicates it cannot.

It has a connection of its own, and is told by a pipe what goes on: ``hold`` and ``free`` around
the time that the machine stands still, ``cut NAME`` when a backup begins. It acts in three cases:

- the machine stands still for too long, or its owner died meanwhile: it lets it run;
- there is no room for what the guest overwrites, so that QEMU stopped it: it ends the backup, and the guest
  goes on. Who reads the backup gets an error;
- the owner is dead and its backup is not: it ends it, for it would take room for nobody.

A request to suspend the machine may be on its way when its owner dies, so the keeper looks for a while. Where
the daemon does not answer it goes on looking, for a quarter of an hour if the machine may stand still.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Final

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import BasculeError, Missing, Unavailable

from .connection import Connection, Domain, connect, told
from .states import end_backup, has_backup, is_short_of_room, let_run

STANDS_AT_MOST_SECONDS: Final = 5.0
"""How long a machine is left standing by one who lives but does not come to letting it go."""

_LOOKS_SECONDS: Final = 0.5
_LOOKS_AGAIN_SECONDS: Final = 0.02
_LINGERS_SECONDS: Final = 3.0
_STARTS_SECONDS: Final = 60.0
_GIVES_UP_SECONDS: Final = 120.0
_GIVES_UP_A_MACHINE_SECONDS: Final = 900.0


class Keeper:
    """The keeper of one machine, as its owner sees it. It is there when this is made."""

    def __init__(self, uri: str, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, uri, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # whoever kills our group does not mean the machine
        )
        assert self._process.stdout is not None
        if not ready(_STARTS_SECONDS, [self._process.stdout]) or not self._process.stdout.readline():
            self.end()
            raise Unavailable(f"{name}: its keeper does not start", cure="see whether libvirt answers")

    def hold(self) -> None:
        """Say that the machine is about to stand still."""
        self._tell("hold")

    def free(self) -> None:
        """Say that it runs again."""
        self._tell("free")

    def cut(self, name: str) -> None:
        """Say which backup begins."""
        self._tell(f"cut {name}")

    def _tell(self, words: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{words}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise Unavailable("the keeper of a machine died", cure="the next owner starts one") from error

    def end(self) -> None:
        """Let the keeper go, when nothing of ours runs any more; safe to call twice."""
        self._process.kill()
        self._process.communicate()

    def leave(self) -> None:
        """Leave everything to the keeper, which does it as if its owner had died, and ends by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class _Post:
    """What the keeper knows, and what it does."""

    def __init__(self, uri: str, name: str) -> None:
        self._uri = uri
        self._name = name
        self._connection: Connection | None = None
        self._held_until = 0.0
        self._backup = ""
        self.domain()

    def domain(self) -> Domain:
        """Return the machine, over a connection that lives."""
        if self._connection is None or not self._connection.isAlive():
            self._connection = connect(self._uri)
        with told(self._name):
            return self._connection.lookupByName(self._name)

    @property
    def is_holding(self) -> bool:
        """Tell whether the machine may stand still because of us."""
        return self._held_until > 0

    def hear(self, line: str) -> None:
        """Take note of what the owner says."""
        word, _, name = line.partition(" ")
        if word == "cut":
            self._backup = name
        else:
            self._held_until = time.monotonic() + STANDS_AT_MOST_SECONDS if word == "hold" else 0.0

    def look(self) -> None:
        """Do what is to be done while the owner lives."""
        if self._held_until and time.monotonic() > self._held_until:
            let_run(self.domain())
            self._held_until = 0.0
        if self._backup and is_short_of_room(self.domain()):
            self._end_backup()

    def mourn(self) -> None:
        """Do what is to be done when the owner is dead."""
        with suppress(Missing):  # the machine is gone, and so is all that was to do
            until = time.monotonic() + _LINGERS_SECONDS
            while self._held_until and not let_run(self.domain()) and time.monotonic() < until:
                time.sleep(_LOOKS_AGAIN_SECONDS)
            self._held_until = 0.0
            self._end_backup()

    def _end_backup(self) -> None:
        if self._backup and has_backup(self.domain(), self._backup):
            end_backup(self.domain(), _Time())


class _Time:
    """Time itself: this is a process of its own, and as short as that."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _keep(uri: str, name: str) -> None:
    post = _Post(uri, name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    heard = b""
    while True:
        may_read = ready(_LOOKS_SECONDS, [0])
        data = os.read(0, 1 << 12) if may_read else b""
        if may_read and not data:
            break
        *lines, heard = (heard + data).split(b"\n")
        for line in lines:
            post.hear(line.decode())
        with suppress(BasculeError):  # the daemon may be away for a while; there is a next look
            post.look()
    # A backup is left to the next owner sooner than a machine that stands still.
    end = time.monotonic() + (_GIVES_UP_A_MACHINE_SECONDS if post.is_holding else _GIVES_UP_SECONDS)
    while time.monotonic() < end:
        try:
            post.mourn()
            return
        except BasculeError:
            time.sleep(_LOOKS_SECONDS)  # nothing tells when a daemon that was away answers again


if __name__ == "__main__":
    _keep(*sys.argv[1:])
