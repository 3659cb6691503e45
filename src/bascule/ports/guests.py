"""The agent in a guest that lets its file systems stand still, and commands of the operator around that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

FROZEN_AT_MOST_SECONDS = 10.0
"""How long a guest's file systems stand still, whatever becomes of who asked for it (R-R-8)."""


class GuestAgent(Protocol):
    """The agent of one guest. Use from one thread.

    A guest is thawed by somebody else than its owner, if that one dies or takes too long: the driver sees to
    it before it freezes anything. Whatever the guest answers, or does not, is Unavailable after a time that
    is limited, and nothing else.
    """

    def freeze(self) -> int:
        """Freeze all file systems, and return how many; if it fails, none stays frozen."""

    def thaw(self) -> int:
        """Thaw what was frozen, and return how many file systems were until now; 0 if somebody else did it.

        Safe at any time: without ``freeze`` before it thaws what an earlier owner left.
        """

    def is_frozen(self) -> bool:
        """Ask the guest whether its file systems stand still."""

    def run(self, script: str, seconds: float) -> None:
        """Have the guest's shell run a script as root; Unavailable if it fails, or takes longer.

        Not while the guest is frozen. One that takes too long goes on in the guest.
        """

    def settle(self) -> None:
        """Thaw what an owner left frozen that died together with its watch; else ask the guest nothing."""

    def close(self) -> None:
        """Let go of the guest, which is thawed if it was frozen; safe to call twice."""


class Commands(Protocol):
    """Commands of the operator, run on this host."""

    def run(self, words: Sequence[str], facts: Mapping[str, str], seconds: float) -> None:
        """Run a command that finds facts in its environment; Unavailable if it fails or takes longer."""
