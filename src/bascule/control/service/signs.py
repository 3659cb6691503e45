"""How things stand in a vault, and what happened (R-OP-2)."""

from __future__ import annotations

from bascule.model.vault.access import Caller, Right
from bascule.model.vault.signs.event import Condition, Event

from .gate import Call, Gate


class SignDesk:
    """The conditions and events of vaults."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def conditions(self, caller: Caller, vault: str, subject: str = "") -> tuple[Condition, ...]:
        """Return what is wrong in a vault, or with one of its items or hosts."""
        with self._gate.reading(Call(caller, "show-health", vault, Right.READ, subject)) as books:
            found = books.conditions.list(vault)
        return tuple(one for one in found if subject in ("", one.subject))

    def events(self, caller: Caller, vault: str, limit: int = 1000, before: int = 0) -> tuple[Event, ...]:
        """Return a vault's events, the newest first; only those before a number if one is given."""
        with self._gate.reading(Call(caller, "list-events", vault, Right.READ)) as books:
            return books.events.list(vault, limit, before)
