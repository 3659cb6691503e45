"""Tells people of events, in their order, each at least once (R-OP-2).

Of several servers one tells: it writes down that it will, tells, and writes down that it did. A kill before
the last of these has the same events told again when its time is over.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Event as Flag

import structlog

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.model.vault.signs.alerts import AlertPlace, AlertSettings, Way
from bascule.model.vault.signs.event import Event
from bascule.ports.catalog import Books, Catalog
from bascule.ports.chance import Clock
from bascule.ports.vault.alarms import Alarms

log = structlog.get_logger("control.watch")
_AT_ONCE = 100
_CLAIM_SECONDS = 120.0
_PAUSES = (30.0, 60.0, 120.0, 300.0, 600.0)
_REFUSED_SECONDS = 3600.0


class Alerting:
    """Tells the people of a catalog's vaults. ``node`` names this server and no other."""

    def __init__(self, catalog: Catalog, alarms: Alarms, clock: Clock, node: str) -> None:
        self._catalog = catalog
        self._alarms = alarms
        self._clock = clock
        self._node = node
        self._failures: dict[tuple[str, Way], tuple[int, float]] = {}

    def run(self, over: Flag, every_seconds: float = 5.0) -> None:
        """Tell until it is over."""
        while not over.wait(every_seconds):
            try:
                self.tell()
            except Unavailable as error:
                log.warning("watch.alerts_waited", error=str(error))

    def tell(self) -> None:
        """Tell of what is new, on every way that is not to rest after a failure."""
        now = self._clock.now()
        with self._catalog.reading() as books:
            found = [one for vault in books.vaults.list() for one in books.alerts.list(vault.name)]
        for settings in found:
            for way in settings.ways():
                if self._failures.get((settings.vault, way), (0, 0.0))[1] <= now:
                    self._tell_on(settings, way)

    def _tell_on(self, settings: AlertSettings, way: Way) -> None:
        with self._catalog.reading() as books:
            if not _following(books, settings, way):
                return
        with self._catalog.writing() as books:
            events = self._claimed(books, settings, way)
        if not events:
            return
        wanted = tuple(event for event in events if settings.wants(event))
        try:
            if wanted:
                self._alarms.tell(way, settings, wanted)
        except BasculeError as error:
            self._failed(settings, way, error)
            return
        self._failures.pop((settings.vault, way), None)
        with self._catalog.writing() as books:
            books.alert_places.put(AlertPlace(settings.vault, way.value, events[-1].number))
        log.info("watch.events_told", vault=settings.vault, way=way.value, events=len(wanted))

    def _claimed(self, books: Books, settings: AlertSettings, way: Way) -> tuple[Event, ...]:
        """Return the events that we are to tell of; none if somebody else does."""
        now = self._clock.now()
        place = _place(books, settings.vault, way)
        if place.until > now and place.node != self._node:
            return ()
        claim = replace(place, node=self._node, until=now + _CLAIM_SECONDS)
        books.alert_places.put(claim)
        return _following(books, settings, way)

    def _failed(self, settings: AlertSettings, way: Way, error: BasculeError) -> None:
        times = self._failures.get((settings.vault, way), (0, 0.0))[0]
        pause = _REFUSED_SECONDS if isinstance(error, Refused) else _PAUSES[min(times, len(_PAUSES) - 1)]
        self._failures[settings.vault, way] = (times + 1, self._clock.now() + pause)
        log.warning("watch.alert_failed", vault=settings.vault, way=way.value, error=str(error), again=pause)


def _place(books: Books, vault: str, way: Way) -> AlertPlace:
    kept = {place.id: place for place in books.alert_places.list(vault)}
    return kept.get(way.value, AlertPlace(vault, way.value, 0))


def _following(books: Books, settings: AlertSettings, way: Way) -> tuple[Event, ...]:
    return books.events.following(settings.vault, _place(books, settings.vault, way).number, _AT_ONCE)
