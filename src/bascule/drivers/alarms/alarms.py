"""``ports.vault.alarms``: each way by its driver."""

from __future__ import annotations

from bascule.model.vault.signs.alerts import AlertSettings, Way
from bascule.model.vault.signs.event import Event

from .hook import posted
from .mail import Relay, mailed


class SystemAlarms:
    """Mail by a relay, and posts."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def tell(self, way: Way, settings: AlertSettings, events: tuple[Event, ...]) -> None:
        """Tell of events."""
        if way is Way.MAIL:
            mailed(self._relay, settings, events)
        else:
            posted(settings, events)
