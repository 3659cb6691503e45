"""A guest at the socket of its agent's channel, for the watch (``python -m …`` is run as that).

Standard library only, and little of that: it has to be there quickly.
"""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from bascule.model.errors import Off, Unavailable

from ...watch import watch
from .channel import Channel

# A guest that is reset forgets what it was asked.
_ANSWERS_SECONDS: Final = 30.0
_LOOKS_SECONDS: Final = 0.05
_KILLED: Final = 128
_SHOWN: Final = 300


class ChannelGuest:
    """See ``watch.Guest``."""

    def __init__(self, socket: str) -> None:
        self._socket = Path(socket)
        self._channel = Channel.connect(self._socket)
        self.sync = self._channel.sync

    def descriptor(self) -> int:
        """See Guest."""
        return self._channel.descriptor()

    def begin(self, until: float) -> None:
        """See Guest."""
        self._channel.ask("guest-fsfreeze-freeze", until)

    def frozen(self, until: float) -> int:
        """See Guest."""
        return self._channel.count(until)

    def status(self, until: float) -> str:
        """See Guest."""
        self._channel.ask("guest-fsfreeze-status", until)
        return str(self._channel.answer(until))

    def run(self, script: str, until: float) -> tuple[int, str]:
        """See Guest."""
        words = {"path": "/bin/sh", "arg": ["-c", script], "capture_output": True}
        self._channel.ask("guest-exec", until, **words)
        number = _told(self._channel.answer(until), "pid")
        while time.monotonic() < until:
            self._channel.ask("guest-exec-status", until, pid=number)
            found = self._channel.answer(until)
            if isinstance(found, dict) and found.get("exited"):
                code = _KILLED if "signal" in found else _told(found, "exitcode")
                return code, _text(found.get("out-data", ""))
            time.sleep(_LOOKS_SECONDS)  # the agent tells nobody that a command ended: it has to be asked
        raise Unavailable("a script in the guest takes too long", cure="see what it waits for there")

    def thawed(self, end: float) -> int | None:
        """See Guest."""
        is_new = self._channel.descriptor() < 0
        if is_new:
            try:
                self._channel = Channel.connect(self._socket)
            except Off:
                return 0  # with the machine its file systems went
        until = min(end, time.monotonic() + _ANSWERS_SECONDS)
        try:
            if is_new:
                self._channel.sync()
            self._channel.ask("guest-fsfreeze-thaw", until)
            while self._channel.waits_for_more:
                with suppress(Unavailable):
                    self._channel.answer(until)  # to a freeze that was too slow
            return self._channel.count(until)
        except Unavailable:
            self._channel.close()
            return None


def _told(found: object, what: str) -> int:
    """Return a number from an answer of a guest, which may be anything."""
    value = found.get(what) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unavailable("the guest agent answers what was not asked", cure="restart it in the guest")
    return value


def _text(found: object) -> str:
    try:
        return base64.b64decode(str(found)).decode(errors="replace")[-_SHOWN:]
    except ValueError:
        return ""


if __name__ == "__main__":
    watch(ChannelGuest)
