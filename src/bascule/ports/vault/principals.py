"""Where the server keeps who may sign in, and what it signs with."""

from __future__ import annotations

from typing import Protocol

from bascule.model.vault.principal import Principal


class Principals(Protocol):
    """The principals of a server. Thread-safe; what returns is durable.

    Raises Unavailable if the place of it all does not answer, Damaged if it cannot be read.
    """

    @property
    def server(self) -> str:
        """Return the server's own id, made when the place was: it is also tenant and subscription."""

    @property
    def key(self) -> bytes:
        """Return what tokens are signed with. Whoever has it can be everybody."""

    def add(self, principal: Principal) -> None:
        """Write a new principal in. Exists if its id or its name is taken."""

    def put(self, principal: Principal) -> None:
        """Replace a principal by its id, or raise Missing."""

    def get(self, id: str) -> Principal:
        """Return a principal, or raise Missing."""

    def all(self) -> tuple[Principal, ...]:
        """Return all principals, by name."""

    def remove(self, id: str) -> None:
        """Remove a principal, or raise Missing."""

    def end_session(self, session: str, until: float, now: float) -> None:
        """Write down that a session is over, to be known until then, and forget older ones."""

    def has_ended(self, session: str) -> bool:
        """Tell whether somebody ended a session."""
