"""What ended long ago is forgotten, by the hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.control.jobs.jobs import Jobs
from bascule.control.watch.keeping import KEEP_SECONDS, Keeping
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.sites.fake import FakeSites
from bascule.model.vault.commands import Result
from bascule.model.vault.item import Command
from bascule.model.vault.signs.event import Event, Health
from bascule.ports.vault.hosts import Claim, RegistrationKey
from tests.contracts.hosts import NOW, certificate
from tests.control.vaults import VAULT, QuickClock, start


class Hands(QuickClock):
    """A clock that somebody puts forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.slow
def test_old_jobs_orders_and_events_are_forgotten_within_an_hour_and_not_sooner(tmp_path: Path) -> None:
    node, clock = start(SqlCatalog(str(tmp_path / "c.db")), FakeSites(tmp_path / "w.db")), Hands()
    node.do(Command.ENABLE)
    node.settled()
    with node.catalog.writing() as books:
        books.events.add(Event(VAULT, clock.now(), "web", "153007", Health.CRITICAL, "late"))
    database = SqliteDatabase(tmp_path / "h.db")
    hosts = SqlHosts(database)
    hosts.add_key(RegistrationKey("k", "digest", NOW + 1))
    hosts.register(Claim("h1", "one", "k", "digest"), certificate(), NOW)
    orders = [hosts.give("h1", name, "pause", "web", {}) for name in ("o1", "o2")]
    hosts.exchange("h1", 0, (Result(1, "o1", True),), 9)
    keeping = Keeping(node.catalog, Jobs(node.catalog, node.queue, clock, SystemIds()), hosts, clock)

    def kept() -> tuple[int, int, int]:
        keeping.tidy()
        with node.catalog.reading() as books:
            return len(books.jobs.list(VAULT)), len(books.events.list(VAULT)), len(hosts.orders())

    try:
        clock.ahead = 3601.0
        assert kept() == (2, 1, 2)  # it is time, and nothing is old
        clock.ahead = KEEP_SECONDS + 3500
        assert kept() == (0, 0, 2), "an order is old when it has been seen with its result for so long"
        clock.ahead = KEEP_SECONDS + 7300
        assert kept() == (0, 0, 1)
        assert hosts.exchange("h1", 0, (), 9) == (orders[1],), "what has no result waits on"
        next_one = hosts.give("h1", "o3", "pause", "web", {})
        assert next_one.sequence == 3
    finally:
        node.stop()
        database.close()
