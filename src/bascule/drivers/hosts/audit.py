"""``ports.vault.audit`` on SQLite or PostgreSQL. The newest hundred thousand deeds are kept."""

from __future__ import annotations

from dataclasses import astuple

from bascule.ports.vault.audit import Deed

from .tables import Database

_KEPT = 100_000
_NOTE = "INSERT INTO deeds (at, who, what, subject, code, detail) VALUES (?, ?, ?, ?, ?, ?) RETURNING number"


class SqlAudit:
    """The record of a vault's deeds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, deed: Deed) -> None:
        """Write a deed down."""
        with self._database.write() as rows:
            (number,) = rows.execute(_NOTE, astuple(deed)).fetchone()
            rows.execute("DELETE FROM deeds WHERE number<=?", (number - _KEPT,))

    def deeds(self, limit: int) -> tuple[Deed, ...]:
        """Return the newest deeds, newest first."""
        wanted = "SELECT at, who, what, subject, code, detail FROM deeds ORDER BY number DESC LIMIT ?"
        with self._database.read() as rows:
            return tuple(Deed(*row) for row in rows.execute(wanted, (limit,)))
