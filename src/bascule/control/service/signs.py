"""How things stand in a vault, and what happened (R-OP-2)."""

from __future__ import annotations

from dataclasses import replace

from bascule.model.vault.access import Caller, Right
from bascule.model.vault.signs.alerts import AlertPlace, AlertSettings
from bascule.model.vault.signs.event import Condition, Event
from bascule.ports.catalog import Books

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

    def alerts(self, caller: Caller, vault: str) -> AlertSettings:
        """Return whom a vault tells of its events."""
        with self._gate.reading(Call(caller, "show-alerts", vault, Right.READ)) as books:
            return _alerts(books, vault)

    def set_alerts(self, caller: Caller, settings: AlertSettings) -> None:
        """Say whom a vault tells of its events from now on.

        A server that posts to an address of somebody's choice reaches what that somebody may not: so the
        address is for the server's owner to name.
        """
        call = Call(caller, "set-alerts", settings.vault, Right.CHANGE)
        with self._gate.writing(call) as books:
            before = _alerts(books, settings.vault)
            if settings.hook not in ("", before.hook):
                self._gate.require(books, replace(call, right=Right.OWN))
            books.alerts.put(settings)
            newest = next((event.number for event in books.events.list(settings.vault, 1)), 0)
            for way in settings.ways():
                if way not in before.ways():  # what happened before is not told
                    books.alert_places.put(AlertPlace(settings.vault, way.value, newest))


def _alerts(books: Books, vault: str) -> AlertSettings:
    return next(iter(books.alerts.list(vault)), AlertSettings(vault))
