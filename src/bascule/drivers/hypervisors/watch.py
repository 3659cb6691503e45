"""A process that freezes a guest, and thaws it whatever becomes of who asked for it (R-R-8).

A guest agent serves one client at a time, so who is to thaw cannot come second: this process
has the only connection, and its owner gives orders by a pipe. The pipe ends when the owner dies, and then
the guest is thawed, as it is when the time is over. Nothing is frozen before all that is in place.

Order: connect and see that the agent answers; leave a mark in the owner's folder; freeze; thaw; take the
mark away when the guest has answered. Should owner and watch be killed together, the mark tells the next
owner to thaw. A freeze that is not answered in time is followed by a thaw at once, which the agent reads
next: a guest that freezes late does not stay so. That answer is waited for as long as the machine lives,
ten minutes at most.

Orders are lines: ``freeze``, ``thaw``, ``status``, ``run JSON``. Answers are JSON lines. Standard
library only, and little of that: it has to be there quickly.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from bascule.drivers.hypervisors.readiness import ready
from bascule.model.errors import BasculeError, Unavailable

SYNC_SECONDS: Final = 5.0
"""How long an agent may take to say that it is there."""

_LINGERS_SECONDS: Final = 600.0
_AGAIN_SECONDS: Final = 1.0


class Guest(Protocol):
    """The way to the agent of one guest. Everything but ``thawed`` raises Unavailable where it fails."""

    def sync(self) -> None:
        """See that the agent is there."""

    def descriptor(self) -> int:
        """Return what can be read from when the answer to ``begin`` is there."""

    def begin(self, until: float) -> None:
        """Ask for a freeze, and do not wait for the answer."""

    def frozen(self, until: float) -> int:
        """Return the answer: how many file systems stand still."""

    def status(self, until: float) -> str:
        """Ask whether the guest is ``frozen``."""

    def run(self, script: str, until: float) -> tuple[int, str]:
        """Have the guest's shell run a script; return its exit code and the end of what it printed."""

    def thawed(self, end: float) -> int | None:
        """Thaw, behind a freeze that was not answered; return of how many file systems, None if unknown."""


class Watch:
    """One freeze of one guest, from its orders to its end."""

    def __init__(self, guest: Guest, mark: Path, limit: float) -> None:
        self._guest = guest
        self._mark = mark
        self._limit = limit
        self._heard = b""
        self._is_frozen = False

    def run(self) -> None:
        """Serve one owner; returns when the guest is thawed, or was never frozen."""
        self._guest.sync()
        _say({"ready": True})
        is_asked = False
        try:
            is_asked = self._obey() == "thaw"
        except BasculeError as error:
            _say({"error": str(error)})
        if is_asked or self._is_frozen:
            self._thaw(is_asked=is_asked)

    def _obey(self) -> str:
        """Do what the owner says, until it says ``thaw``, says nothing more, or the time is over."""
        until: float | None = None
        while (order := self._order(until)) not in ("", "thaw"):
            if order == "freeze" and until is None:
                until = _in(self._limit)
                self._mark.touch()
                self._is_frozen = True
                self._freeze(until)
            elif order.startswith("run "):
                told = json.loads(order.removeprefix("run "))
                code, said = self._guest.run(told["script"], _in(told["seconds"]))
                _say({"ran": code, "said": said})
            elif order == "status":
                _say({"status": self._guest.status(_in(SYNC_SECONDS))})
        return order

    def _freeze(self, until: float) -> None:
        """Freeze, as long as the owner lives and the time is not over."""
        self._guest.begin(until)
        while not self._may_read(until):
            if self._is_orphan() or time.monotonic() >= until:
                raise Unavailable("the guest did not freeze its file systems in time")
        _say({"frozen": self._guest.frozen(until)})

    def _may_read(self, until: float) -> bool:
        left = max(0.0, until - time.monotonic())
        return self._guest.descriptor() in ready(left, [self._guest.descriptor(), 0])

    def _is_orphan(self) -> bool:
        """Tell whether the owner's pipe has ended; an order that came too early is none."""
        return bool(ready(0, [0])) and not os.read(0, 1 << 12)

    def _order(self, until: float | None) -> str:
        """Return the owner's next word; nothing if it died, or if the time is over."""
        while b"\n" not in self._heard:
            left = None if until is None else max(0.0, until - time.monotonic())
            data = os.read(0, 1 << 12) if ready(left, [0]) else b""
            if not data:
                return ""
            self._heard += data
        word, _, self._heard = self._heard.partition(b"\n")
        return word.decode(errors="replace")

    def _thaw(self, *, is_asked: bool) -> None:
        end = _in(_LINGERS_SECONDS)
        thawed = self._guest.thawed(end)
        while thawed is None and time.monotonic() < end:
            is_asked = False  # somebody else may have thawed it meanwhile
            time.sleep(_AGAIN_SECONDS)
            thawed = self._guest.thawed(end)
        if thawed is not None:
            self._mark.unlink(missing_ok=True)
            _say({"thawed": thawed if is_asked else 0})


def _in(seconds: float) -> float:
    return time.monotonic() + seconds


def _say(message: dict[str, object]) -> None:
    with suppress(OSError):  # nobody is there to hear it
        os.write(1, json.dumps(message).encode() + b"\n")


def watch(connect: Callable[..., Guest]) -> None:
    """Watch over the guest that the process's words name; what goes wrong is said."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of the pipe is the only way to end it early
    mark, limit, *words = sys.argv[1:]
    try:
        Watch(connect(*words), Path(mark), float(limit)).run()
    except BasculeError as error:
        _say({"error": str(error)})
    except OSError as error:
        _say({"error": f"{mark}: {error.strerror}"})
