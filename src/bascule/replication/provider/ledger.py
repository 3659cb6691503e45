"""The facts of an item as they change, and the events that a person should hear of."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bascule.data.pipeline.flow.progress import Progress
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.health import Heartbeat, Level, reasons
from bascule.model.items import Facts, Headway, Mark, State, Trouble, Wish
from bascule.model.retries import next_try
from bascule.ports.chance import Clock

from .folder import ItemFolder

_HEADWAY_SECONDS = 1.0
# What time alone brings about; the rest is noted when it happens.
_OF_TIME = {"rpo-over-threshold", "153007", "153006"}


class Ledger:
    """One item's facts. Thread-safe."""

    def __init__(self, folder: ItemFolder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._guard = threading.RLock()
        self._headway_at = 0.0
        self._known: set[str] = set()
        self.facts: Facts = folder.facts()

    def put(self, **changes: Any) -> Facts:
        """Change some facts."""
        with self._guard:
            now = self._clock.now()
            if changes.get("state", self.facts.state) is not self.facts.state:
                changes["since"] = now
                self.note("state", Level.HEALTHY, state=str(changes["state"]))
            self.facts = replace(self.facts, seen_at=now, **changes)
            self._folder.tell(self.facts)
            return self.facts

    def note(self, event: str, level: Level, **fields: object) -> None:
        """Write down that something happened."""
        at = self._clock.now()
        self._folder.note({"at": at, "event": event, "severity": level.name.lower(), **fields})

    def headway(self, progress: Progress) -> None:
        """Say how far a transfer is, once a second."""
        now = self._clock.monotonic()
        with self._guard:
            if now - self._headway_at < _HEADWAY_SECONDS:
                return
            self._headway_at = now
            told = Headway(
                progress.done_bytes, progress.total_bytes, progress.rate_bytes, progress.seconds_left
            )
            with suppress(Unavailable):  # no room for facts is no reason to stop what is under way
                self.put(headway=told)

    def failed(self, error: BasculeError, begun: float, generation: int) -> Facts:
        """Write down an error: it is tried again by the ladder, or waits for a person (R-R-3)."""
        now, before = self._clock.now(), self.facts.trouble
        trouble = Trouble.of(error, min(begun, now), generation)
        is_passing = isinstance(error, Unavailable)
        if before is not None and is_passing and before.next_try_at is not None:
            trouble = replace(trouble, first_at=min(before.first_at, now), tries=before.tries + 1)
        if is_passing:
            trouble = replace(trouble, next_try_at=next_try(trouble.first_at, now))
        if before is None or before.code != trouble.code or before.message != trouble.message:
            level = Level.WARNING if is_passing else Level.CRITICAL
            self.note(trouble.code, level, message=error.message, cure=error.cure)
        state = {} if is_passing else {"state": State.STOPPED}
        return self.put(trouble=trouble, headway=None, generation=generation, **state)

    def mark(self, why: Mark) -> None:
        """Mark the item for resync (R-R-2), unless it is marked."""
        if self.facts.mark is None:
            self.note("marked-for-resync", Level.CRITICAL, message=str(why))
            self.put(mark=why, marked_at=self._clock.now())

    def watch(self, wish: Wish) -> None:
        """Note what has become of the item by time alone (R-R-6, R-OP-2)."""
        found = {
            reason.code: reason
            for reason in reasons(wish, self.facts, self._clock.now(), Heartbeat(None, is_running=True))
            if reason.code in _OF_TIME
        }
        for code in found.keys() - self._known:
            self.note(code, found[code].level, message=found[code].message)
        for code in self._known - found.keys():
            self.note(f"{code}-ended", Level.HEALTHY)
        self._known = set(found)
