"""How long a vault remembers: jobs that ended, answered orders and events go, so nothing grows for ever."""

from __future__ import annotations

import structlog

from bascule.control.jobs.jobs import Jobs
from bascule.model.errors import Unavailable
from bascule.ports.catalog import Catalog
from bascule.ports.chance import Clock
from bascule.ports.vault.hosts import Hosts

log = structlog.get_logger("control.watch")
KEEP_SECONDS = 90 * 86_400.0
_EVERY_SECONDS = 3600.0


class Keeping:
    """Forgets what is old, every hour of whoever asks now and then. Any number may, of one catalog."""

    def __init__(self, catalog: Catalog, jobs: Jobs, hosts: Hosts, clock: Clock) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._hosts = hosts
        self._clock = clock
        self._due = clock.monotonic() + _EVERY_SECONDS

    def tidy(self) -> None:
        """Forget what is old if it is time; what cannot be forgotten now is in an hour."""
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + _EVERY_SECONDS
        try:
            jobs = self._jobs.purge(KEEP_SECONDS)
            with self._catalog.writing() as books:
                events = books.events.forget(self._clock.now() - KEEP_SECONDS)
            # After the jobs: none is left that would ask again for what it ordered.
            orders = self._hosts.forget(self._clock.now(), KEEP_SECONDS)
            log.info("watch.old_forgotten", jobs=jobs, events=events, orders=orders)
        except Unavailable as error:
            log.warning("watch.old_not_forgotten", error=str(error))
