"""Which points of an item are to be more than crash-consistent, and what became of that (R-RP-1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bascule.model.health import Level
from bascule.model.items import Wish
from bascule.model.policies import Consistency
from bascule.ports.chance import Clock
from bascule.replication.quiesce import Quiesce

from .ledger import Ledger

# What did not become a point is tried again sooner, but not with every point: it may cost each of them
# seconds.
_AGAIN_SECONDS = 300.0


class Stillness:
    """The consistency that a wish asks for."""

    def __init__(self, wish: Wish, quiesce: Quiesce, ledger: Ledger, clock: Clock) -> None:
        self._every = float(wish.policy.app_consistent_seconds)
        self._quiesce = quiesce
        self._ledger = ledger
        self._clock = clock
        self._told = ""
        self._quiesce.settle()

    @property
    def is_due(self) -> bool:
        """Is the next point to be more than crash-consistent?"""
        if not self._every:
            return False
        facts = self._ledger.facts
        tried, made = facts.consistent_tried_at, facts.app_consistent_at
        if tried is None:
            return True
        every = self._every if made is not None and made >= tried else min(self._every, _AGAIN_SECONDS)
        return not 0 <= self._clock.now() - tried < every

    @contextmanager
    def around(self, machines: Sequence[str]) -> Iterator[Callable[[], Consistency]]:
        """See ``Rules.quiesce``."""
        if not self.is_due:
            yield lambda: Consistency.CRASH
            return
        self._ledger.put(consistent_tried_at=self._clock.now())
        with self._quiesce.around(machines) as found:
            yield found
        complaint = self._quiesce.complaint
        is_crash = found() is Consistency.CRASH
        if complaint and complaint not in (self._ledger.facts.only_crash, self._told):
            event = "only-crash-consistent" if is_crash else _less_than(found())
            self._ledger.note(event, Level.WARNING, message=complaint)
        self._told = complaint
        self._ledger.put(only_crash=complaint if is_crash else "")


def _less_than(found: Consistency) -> str:
    return "only-file-system-consistent" if found is Consistency.FILE_SYSTEM else "command-after-failed"
