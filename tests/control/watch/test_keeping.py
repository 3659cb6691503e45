"""What ended long ago is forgotten, by the hour."""

from __future__ import annotations

from pathlib import Path

from bascule.apps.chance import SystemIds
from bascule.control.jobs.jobs import Jobs
from bascule.control.watch.keeping import KEEP_SECONDS, Keeping
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.sites.fake import FakeSites
from bascule.model.vault.item import Command
from bascule.model.vault.signs.event import Event, Health
from tests.control.vaults import VAULT, QuickClock, start


class Hands(QuickClock):
    """A clock that somebody puts forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


def test_old_jobs_and_events_are_forgotten_within_an_hour_and_not_sooner(tmp_path: Path) -> None:
    node, clock = start(SqlCatalog(str(tmp_path / "c.db")), FakeSites(tmp_path / "w.db")), Hands()
    node.do(Command.ENABLE)
    node.settled()
    with node.catalog.writing() as books:
        books.events.add(Event(VAULT, clock.now(), "web", "153007", Health.CRITICAL, "late"))
    keeping = Keeping(node.catalog, Jobs(node.catalog, node.queue, clock, SystemIds()), clock)

    def kept() -> tuple[int, int]:
        keeping.tidy()
        with node.catalog.reading() as books:
            return len(books.jobs.list(VAULT)), len(books.events.list(VAULT))

    try:
        clock.ahead = 3601.0
        assert kept() == (2, 1)  # it is time, and nothing is old
        clock.ahead = KEEP_SECONDS + 100
        assert kept() == (0, 0)
    finally:
        node.stop()
