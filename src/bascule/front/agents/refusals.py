"""What is refused is written down, but a flood of it fills no disk.

Each address, and all together, have so many lines a minute; what is beyond them is counted, and the count
is a line of the next minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bascule.ports.chance import Clock

Note = Callable[[str, str, str, str, str], None]

EACH_MINUTE = 10
ALL_MINUTE = 60


class Refusals:
    """Writes refusals down, so many a minute. Use from one thread."""

    def __init__(self, note: Note, clock: Clock) -> None:
        self._note = note
        self._clock = clock
        self._begun = float("-inf")
        self._counts: Counter[str] = Counter()
        self._left_out = 0

    def add(self, who: str, what: str, subject: str, code: str, detail: str) -> None:
        """Write a refusal down, or count it."""
        now = self._clock.monotonic()
        if now - self._begun >= 60:
            left_out, self._left_out = self._left_out, 0
            self._begun = now
            self._counts.clear()
            if left_out:
                self._note("the door", "refuse", "", "too-many", f"{left_out} more refusals within a minute")
        address = who.partition(" ")[0]
        if self._counts[address] >= EACH_MINUTE or self._counts.total() >= ALL_MINUTE:
            self._left_out += 1
            return
        self._counts[address] += 1
        self._note(who, what, subject, code, detail)
