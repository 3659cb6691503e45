"""The two ends of a replication, as a vault commands them.

Every order carries a token, the item's generation and the job's turn, and both sides keep two promises. An
order whose token was carried out is answered as it was then, and nothing is done again, however much later it
comes. An order of an older generation than one that was seen, or of an older turn of it, is refused with
Fenced: it comes from somebody who was taken for dead and is not. Whoever asks may be killed at any moment, so
there may be nobody to tell that it went well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Order:
    """Which item is meant, in which generation and turn, and the token of this one order."""

    item: str
    generation: int
    turn: int
    token: str


class Purpose(StrEnum):
    """Why a machine is started on the recovery side. Of each kind an item has one at most."""

    FAILOVER = "failover"
    TEST = "test"


class SourceSite(Protocol):
    """Where the machine lives. Raises Unavailable when nobody answers there."""

    def check(self, item: str) -> None:
        """Raise Refused, with the rule and the cure, if the item cannot be protected as it is (R-P-2)."""

    def relate(self, order: Order) -> None:
        """Establish the relationship, and start initial replication."""

    def is_seeded(self, item: str) -> bool:
        """Tell whether initial replication has ended and a point can be booted: it did, not *it seems so*."""

    def settle(self, order: Order) -> None:
        """Apply network and other settings once the item is seeded (R-P-4)."""

    def resync(self, order: Order) -> None:
        """Begin to make the replica equal again, now (R-R-2)."""

    def is_equal(self, item: str) -> bool:
        """Tell whether the resync that was asked for last has ended."""

    def unrelate(self, order: Order) -> None:
        """Remove the relationship with every leftover on this side; nothing to do if there is none."""


class RecoverySite(Protocol):
    """Where the machine would go. Raises Unavailable when nobody answers there."""

    def check(self, item: str) -> None:
        """Raise Refused, with the rule and the cure, if the item could not be started here."""

    def latest_point(self, item: str) -> str:
        """Return the newest point that can be booted, or raise Missing."""

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
