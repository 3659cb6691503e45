"""A guest at the socket of its agent's channel, for the watch (``python -m …`` is run as that).

Standard library only, and little of that: it has to be there quickly.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from bascule.model.errors import Off, Unavailable

from ...watch import watch
from .channel import Channel

# A guest that is reset forgets what it was asked.
_ANSWERS_SECONDS: Final = 30.0


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


if __name__ == "__main__":
    watch(ChannelGuest)
