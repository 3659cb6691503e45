"""What happened and who did it: rows that are only ever added, and in the end forgotten."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from bascule.model.vault.signs.event import Event, Health
from bascule.ports.vault.audit import Deed

from .shelves import check_vault
from .tables import DEEDS, EVENTS

_DEEDS_KEPT = 100_000
_FORGET_EVERY = 256


class SqlEvents:
    """The events."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, event: Event) -> None:
        """Write an event in."""
        check_vault(self._connection, event.vault)
        columns = {name: value for name, value in asdict(event).items() if name != "number"}
        self._connection.execute(sa.insert(EVENTS).values(columns))

    def list(self, vault: str, limit: int = 1000, before: int = 0) -> tuple[Event, ...]:
        """Return a vault's events, the newest first."""
        rows = sa.select(EVENTS).where(EVENTS.c.vault == vault)
        if before:
            rows = rows.where(EVENTS.c.number < before)
        found = self._connection.execute(rows.order_by(EVENTS.c.number.desc()).limit(limit)).mappings()
        return tuple(map(_event, found))

    def following(self, vault: str, number: int, limit: int = 1000) -> tuple[Event, ...]:
        """Return a vault's events after a number, the oldest first."""
        rows = sa.select(EVENTS).where(EVENTS.c.vault == vault, EVENTS.c.number > number)
        found = self._connection.execute(rows.order_by(EVENTS.c.number).limit(limit)).mappings()
        return tuple(map(_event, found))

    def forget(self, before: float) -> int:
        """Remove the events before a moment."""
        return self._connection.execute(sa.delete(EVENTS).where(EVENTS.c.at < before)).rowcount


def _event(row: sa.RowMapping) -> Event:
    return Event(**{**row, "health": Health(row["health"])})


class SqlDeeds:
    """The record of deeds. The newest hundred thousand are kept."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def note(self, vault: str, deed: Deed) -> None:
        """Write a deed down."""
        made = self._connection.execute(sa.insert(DEEDS).values(asdict(deed) | {"vault": vault}))
        number = made.inserted_primary_key[0] if made.inserted_primary_key else 0
        if number % _FORGET_EVERY == 0:
            self._connection.execute(sa.delete(DEEDS).where(DEEDS.c.number <= number - _DEEDS_KEPT))

    def list(self, vault: str, limit: int = 1000) -> tuple[Deed, ...]:
        """Return a vault's deeds, the newest first."""
        columns = (DEEDS.c.at, DEEDS.c.who, DEEDS.c.what, DEEDS.c.subject, DEEDS.c.code, DEEDS.c.detail)
        rows = sa.select(*columns).where(DEEDS.c.vault == vault).order_by(DEEDS.c.number.desc()).limit(limit)
        return tuple(Deed(*row) for row in self._connection.execute(rows))
