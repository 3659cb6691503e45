"""People hear of each event at least once, in order, and of several servers from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.control.watch.alerting import Alerting
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.model.errors import Refused, Unavailable
from bascule.model.vault.signs.alerts import AlertSettings, Way
from bascule.model.vault.signs.event import Event, Health
from bascule.model.vault.vault import Vault
from tests.control.watch.test_watch import NOW, Hands


class Bell:
    """Keeps what it was told, unless it is to raise something."""

    def __init__(self) -> None:
        self.told: list[tuple[Way, list[str]]] = []
        self.error: Exception | None = None

    def tell(self, way: Way, settings: AlertSettings, events: tuple[Event, ...]) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((way, [event.message for event in events]))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(str(tmp_path / "c.db"))
    with catalog.writing() as books:
        books.vaults.add(Vault("north"))
        books.alerts.put(AlertSettings("north", ("anna@example.org",)))
    yield catalog
    catalog.close()


def happen(catalog: SqlCatalog, *messages: str, health: Health = Health.CRITICAL) -> None:
    with catalog.writing() as books:
        for message in messages:
            books.events.add(Event("north", NOW, "web", "153007", health, message))


def test_each_event_is_told_once_and_in_order(catalog: SqlCatalog) -> None:
    bell, clock = Bell(), Hands()
    alerting = Alerting(catalog, bell, clock, "one")
    alerting.tell()
    happen(catalog, "first", "second")
    alerting.tell()
    alerting.tell()
    happen(catalog, "third")
    Alerting(catalog, bell, clock, "two").tell()  # the next server, after this one
    assert bell.told == [(Way.MAIL, ["first", "second"]), (Way.MAIL, ["third"])]


def test_what_is_less_bad_is_passed_over_unless_it_is_wanted_and_what_is_over_is_told(
    catalog: SqlCatalog,
) -> None:
    bell = Bell()
    happen(catalog, "slow", health=Health.WARNING)
    happen(catalog, "over", health=Health.HEALTHY)
    Alerting(catalog, bell, Hands(), "one").tell()
    with catalog.writing() as books:
        books.alerts.put(AlertSettings("north", ("anna@example.org",), least=Health.WARNING))
    happen(catalog, "slower", health=Health.WARNING)
    Alerting(catalog, bell, Hands(), "one").tell()
    assert [messages for _, messages in bell.told] == [["over"], ["slower"]]


@pytest.mark.parametrize(
    ("error", "rests"), [(Unavailable("away"), 30.0), (Refused("no"), 3600.0)], ids=["passing", "lasting"]
)
def test_what_could_not_be_told_is_told_later_and_not_at_once(
    catalog: SqlCatalog, error: Exception, rests: float
) -> None:
    bell, clock = Bell(), Hands()
    alerting = Alerting(catalog, bell, clock, "one")
    bell.error = error
    happen(catalog, "first")
    alerting.tell()
    bell.error = None
    clock.at += rests - 1
    alerting.tell()
    assert bell.told == []
    clock.at += 1
    alerting.tell()
    assert bell.told == [(Way.MAIL, ["first"])]


def test_while_one_server_tells_no_other_does_and_its_death_delays_and_loses_nothing(
    catalog: SqlCatalog,
) -> None:
    clock, bell = Hands(), Bell()

    class Deadly(Bell):
        def tell(self, way: Way, settings: AlertSettings, events: tuple[Event, ...]) -> None:
            raise KeyboardInterrupt  # as a kill: nothing after it is done

    happen(catalog, "first")
    with pytest.raises(KeyboardInterrupt):
        Alerting(catalog, Deadly(), clock, "one").tell()
    other = Alerting(catalog, bell, clock, "two")
    other.tell()
    assert bell.told == []
    clock.at += 121
    other.tell()
    assert bell.told == [(Way.MAIL, ["first"])]


def test_one_way_does_not_wait_for_the_other(catalog: SqlCatalog) -> None:
    class Half(Bell):
        def tell(self, way: Way, settings: AlertSettings, events: tuple[Event, ...]) -> None:
            if way is Way.MAIL:
                raise Unavailable("the relay is away")
            super().tell(way, settings, events)

    with catalog.writing() as books:
        books.alerts.put(AlertSettings("north", ("anna@example.org",), "https://example.org/hook"))
    happen(catalog, "first")
    bell = Half()
    Alerting(catalog, bell, Hands(), "one").tell()
    assert bell.told == [(Way.HOOK, ["first"])]
