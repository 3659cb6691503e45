"""How a transfer is conducted: its threads, its line, who watches it and who may stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bascule.model.errors import Refused

from .buffers import Buffers
from .crew import Cancel
from .progress import Meter
from .throttle import Throttle


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a caller decides about one transfer; a throttle and buffers may be shared by many.

    ``payer`` is whose share of the throttle it takes, ``own_throttle`` one that it does not share.

    ``workers`` compress and seal, ``readers`` keep units of 4 MiB ready for them: memory
    is (readers + 2 x workers) x 4 MiB beside the session's segments. One more than
    there are cores keeps all of these busy. A restore has only workers, of 12 MiB each.
    """

    meter: Meter
    cancel: Cancel = field(default_factory=Cancel)
    throttle: Throttle | None = None
    workers: int = 3
    readers: int = 3
    buffers: Buffers = field(default_factory=Buffers)
    own_throttle: Throttle | None = None
    payer: str = ""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.readers < 1:
            raise Refused(
                f"{self.workers} workers and {self.readers} readers cannot carry anything",
                cure="use at least one of each",
            )

    def owe(self, count: int) -> None:
        """Report ``count`` last bytes, which whoever uses the line next waits for."""
        for line in self._lines():
            line.owe(count, self.payer)

    def spend(self, count: int) -> None:
        """Stop if asked to, and wait until the line may carry more after ``count`` bytes."""
        self.cancel.check()
        for line in self._lines():
            line.spend(count, self.cancel.check, self.payer)

    def _lines(self) -> Iterator[Throttle]:
        yield from (line for line in (self.own_throttle, self.throttle) if line is not None)
