"""How long a read waits for a store that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from bascule.model.errors import Unavailable
from bascule.ports.chance import Clock

T = TypeVar("T")

_FIRST_SECONDS, _LONGEST_SECONDS = 0.05, 2.0

log = structlog.get_logger(__name__)


class Patience:
    """Asks again until the store answers, ``seconds`` are over, or it is ended. Thread-safe.

    None waits for ever: the guest then sees a slow disk instead of errors, and goes on
    by itself when the store is back. 0 gives errors at once.
    """

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ended = threading.Event()
        self._away_since: float | None = None

    @property
    def is_away(self) -> bool:
        """Tell whether the last question got no answer."""
        return self._away_since is not None

    def insist(self, ask: Callable[[], T]) -> T:
        """Return the answer, or raise the last Unavailable."""
        began, pause = self._clock.monotonic(), _FIRST_SECONDS
        while True:
            try:
                answer = ask()
            except Unavailable as error:
                self._note(error)
                spent = self._clock.monotonic() - began
                if self._seconds is not None and spent >= self._seconds:
                    raise
                if self._ended.wait(pause):
                    raise
                pause = min(pause * 2, _LONGEST_SECONDS)
                continue
            if self._away_since is not None:
                self._back()
            return answer

    def _note(self, error: Unavailable) -> None:
        if self._away_since is None:
            self._away_since = self._clock.monotonic()
            log.warning("instant.store_away", error=str(error))

    def _back(self) -> None:
        since, self._away_since = self._away_since, None
        if since is not None:
            log.info("instant.store_back", seconds=round(self._clock.monotonic() - since, 1))

    def end(self) -> None:
        """Let every waiting read fail now."""
        self._ended.set()
