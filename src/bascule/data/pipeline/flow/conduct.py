"""How a transfer is conducted: its threads, its line, who watches it and who may stop it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bascule.model.errors import Refused

from .buffers import Buffers
from .crew import Cancel
from .progress import Meter
from .throttle import Throttle


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a caller decides about one transfer; a throttle and buffers may be shared by many.

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

    def __post_init__(self) -> None:
        if self.workers < 1 or self.readers < 1:
            raise Refused(
                f"{self.workers} workers and {self.readers} readers cannot carry anything",
                cure="use at least one of each",
            )

    def owe(self, count: int) -> None:
        """Report ``count`` last bytes, which whoever uses the line next waits for."""
        if self.throttle is not None:
            self.throttle.owe(count)

    def spend(self, count: int) -> None:
        """Stop if asked to, and wait until the line may carry more after ``count`` bytes."""
        self.cancel.check()
        if self.throttle is not None:
            self.throttle.spend(count, self.cancel.check)
