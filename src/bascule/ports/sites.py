"""The two ends of a replication, as a vault commands them.

Every order carries a token, the item's generation and the job's turn, and both sides keep two promises. An
order whose token was carried out is answered as it was then, and nothing is done again, however much later it
comes. An order of an older generation than one that was seen, or of an older turn of it, is refused with
Fenced: it comes from somebody who was taken for dead and is not. Whoever asks may be killed at any moment, so
there may be nobody to tell that it went well.

What takes its time raises Underway, and goes on: who asks again with the same token hears how it ended. What
was refused or did not go well was not done, and the same token asked once more has it tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Order:
    """Which item of which vault is meant, in which generation and turn, and the token of this one order."""

    vault: str
    item: str
    generation: int
    turn: int
    token: str


class Purpose(StrEnum):
    """Why a machine is started on the recovery side. Of each kind an item has one at most."""

    FAILOVER = "failover"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A point that a machine can be started at, by its name, and what it is of."""

    name: str
    captured_at: float
    consistency: str


class SourceSite(Protocol):
    """Where the machine lives. Raises Unavailable when nobody answers there."""

    def check(self, order: Order) -> None:
        """Raise Refused, with the rule and the cure, if the item cannot be protected as it is (R-P-2)."""

    def relate(self, order: Order) -> None:
        """Establish the relationship, and start initial replication."""

    def is_seeded(self, order: Order) -> bool:
        """Tell whether initial replication has ended and a point can be booted: it did, not *it seems so*."""

    def resync(self, order: Order) -> int:
        """Begin to make the replica equal again, now (R-R-2), and return by which number it is known."""

    def is_equal(self, order: Order, resync: int) -> bool:
        """Tell whether a resync has ended."""

    def unrelate(self, order: Order) -> None:
        """Remove the relationship with every leftover on this side; nothing to do if there is none."""


class RecoverySite(Protocol):
    """Where the machine would go. Raises Unavailable when nobody answers there."""

    def check(self, order: Order) -> None:
        """Raise Refused, with the rule and the cure, if the item could not be started here."""

    def settle(self, order: Order) -> None:
        """Apply network and other settings once the item is seeded (R-P-4)."""

    def latest_point(self, order: Order) -> str:
        """Return the newest point that can be booted, or raise Missing."""

    def points(self, order: Order) -> tuple[RecoveryPoint, ...]:
        """Return the newest points that can be booted, the newest first."""

    def fence(self, order: Order) -> None:
        """See that the source publishes nothing more: from here on *latest* stays what it is."""

    def start(self, order: Order, point: str, purpose: Purpose) -> str:
        """Start the item's machine at a point, and return its name here."""

    def remove(self, order: Order, purpose: Purpose) -> None:
        """Take away whatever was started for a purpose; nothing to do if there is nothing."""

    def let_go(self, order: Order) -> None:
        """Take the fence away, so that the source replicates on."""

    def keep_only(self, order: Order) -> None:
        """Remove the item's points but the one that its failed-over machine stands on (R-FO-3)."""

    def forget(self, order: Order) -> None:
        """Remove the item's points and every leftover (R-P-6)."""
