"""The two ends of a replication, as a vault commands them.

Every order carries a token, the item's generation and the job's turn, and both sides keep two promises. An
order whose token was carried out is answered as it was then, and nothing is done again, however much later it
comes. An order of an older generation than one that was seen, or of an older turn of it, is refused with
Fenced: it comes from somebody who was taken for dead and is not. Whoever asks may be killed at any moment, so
there may be nobody to tell that it went well.

What takes its time raises Underway, and goes on: who asks again with the same token hears how it ended. As
``Waiting`` it says what is waited for, and how far that is, where that is known. What was refused
or did not go well was not done, and the same token asked once more has it tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bascule.model.errors import Underway
from bascule.model.items import Headway


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


class Waiting(Underway):
    """It is under way: ``message`` says what is waited for, ``headway`` how far that is if somebody knows."""

    def __init__(self, message: str, headway: Headway | None = None) -> None:
        super().__init__(message)
        self.headway = headway


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

    def follow(self, order: Order) -> str:
        """Have the relationship go on by the item's policy as it is now (R-P-5).

        Nobody waits for a source that is away: it hears that when it is back. Returns what a person should
        know of it.
        """

    def unrelate(self, order: Order) -> None:
        """Remove the relationship with every leftover on this side; nothing to do if there is none."""

    def leave(self, order: Order) -> str:
        """Have the relationship removed whenever the source is back; nobody waits for that.

        Returns what a person should know of it.
        """

    def hand_over(self, order: Order) -> None:
        """Shut the machine down and replicate what it wrote to the last byte (R-FO-2)."""

    def look(self, order: Order) -> None:
        """Raise Unavailable if nobody there was heard of lately, so that who is in a hurry need not wait."""


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

    def start(self, order: Order, point: str, purpose: Purpose, network: str | None = None) -> str:
        """Start the item's machine at a point, and return its name here.

        With ``network`` all cards of a test's machine are plugged in there, or nowhere if that is empty.
        Refused for one that is not here.
        """

    def remove(self, order: Order, purpose: Purpose) -> None:
        """Take away whatever was started for a purpose; nothing to do if there is nothing."""

    def let_go(self, order: Order) -> None:
        """Take the fence away, so that the source replicates on; a machine that was handed over runs again.

        Nobody waits for a source that is down: it hears that when it is back.
        """

    def keep_only(self, order: Order) -> None:
        """Remove the item's points but the one that its failed-over machine stands on (R-FO-3)."""

    def reshape(self, order: Order, settings: str) -> None:
        """Keep what the machine is to be here, as JSON; Refused for what cannot be (R-FO-4)."""

    def forget(self, order: Order) -> None:
        """Remove the item's points and every leftover (R-P-6)."""


class HomeSite(Protocol):
    """The side that a machine left, or another host that its item is bound for, as its home (R-HV)."""

    def check(self, order: Order) -> None:
        """Raise Refused, with the rule and the cure, if the machine cannot come home there."""

    def level(self, order: Order) -> None:
        """Make new disks equal to the newest point, beside those that are there (R-HV-5)."""

    def come_home(self, order: Order, *, whole: bool) -> str:
        """Let the last changes follow, or all of it if ``whole``, and start the machine; return its point."""

    def give_up(self, order: Order) -> None:
        """Take a failback away, with all that the machine wrote here; nothing to do if there is none."""

    def keep(self, order: Order) -> None:
        """Let the machine stay, and remove the other points."""

    def relate_again(self, order: Order) -> None:
        """Replicate from here again, after the machine came home to stay."""


class AwaySite(Protocol):
    """The recovery side while a machine works there: as source, and then as what is left."""

    def relate_back(self, order: Order) -> None:
        """Replicate what the machine writes here, from the point that it was started at."""

    def is_seeded_back(self, order: Order) -> bool:
        """Tell whether that has a point."""

    def follow_back(self, order: Order) -> str:
        """Have that go on by the item's policy as it is now; as ``SourceSite.follow``."""

    def unrelate_back(self, order: Order) -> None:
        """End that; nothing to do if there is none."""

    def hand_over(self, order: Order) -> None:
        """Shut the machine down and replicate what it wrote to the last byte."""

    def take_back(self, order: Order) -> None:
        """Let the machine run here again and be replicated on, after a failback that was given up."""

    def release(self, order: Order) -> None:
        """Remove the machine and its disks, after it went home to stay (R-HV-3)."""
