"""How people hear of events."""

from __future__ import annotations

from typing import Protocol

from bascule.model.vault.signs.alerts import AlertSettings, Way
from bascule.model.vault.signs.event import Event


class Alarms(Protocol):
    """Ways out of the vault. Safe to use from several threads."""

    def tell(self, way: Way, settings: AlertSettings, events: tuple[Event, ...]) -> None:
        """Tell of events, all or none; returns when somebody else has taken them over.

        Raises Unavailable if nobody does at the moment, Refused if nobody will as it is. Told again after a
        cut, people hear of them twice.
        """
