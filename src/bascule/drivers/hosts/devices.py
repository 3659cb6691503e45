"""``ports.vault.devices`` on SQLite or PostgreSQL: a row for each that waits."""

from __future__ import annotations

from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.principal import Device

from .tables import Database

_GONE = "start anew on the device"


class SqlDevices:
    """The devices that wait at a server, or at several that share a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, device: Device, most: int, now: float) -> None:
        """Write one in, and forget those that expired."""
        with self._database.write() as rows:
            rows.execute("DELETE FROM devices WHERE expires_at <= ?", (now,))
            (found,) = rows.execute("SELECT count(*) FROM devices").fetchone()
            if found >= most:
                cure = "wait some minutes"
                raise Refused(f"{found} devices wait already", cure=cure, code="too-many-attempts")
            added = rows.execute(
                "INSERT INTO devices (id, code, expires_at, person, secret) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (device.id, device.code, device.expires_at, device.person, device.secret),
            )
            if added.rowcount != 1:
                raise Exists("a device waits by that code", cure="try again")

    def agree(self, code: str, person: str, secret: str, now: float) -> None:
        """Write down who agreed, once."""
        with self._database.write() as rows:
            done = rows.execute(
                "UPDATE devices SET person=?, secret=? WHERE code=? AND person='' AND expires_at > ?",
                (person, secret, code, now),
            )
            if done.rowcount != 1:
                raise Missing("no device waits by that code", cure=_GONE)

    def get(self, id: str) -> Device:
        """Return one."""
        with self._database.read() as rows:
            row = rows.execute(
                "SELECT id, code, expires_at, person, secret FROM devices WHERE id=?", (id,)
            ).fetchone()
        if row is None:
            raise Missing("no such device waits", cure=_GONE)
        return Device(*row)

    def remove(self, id: str) -> None:
        """Remove one."""
        with self._database.write() as rows:
            if rows.execute("DELETE FROM devices WHERE id=?", (id,)).rowcount != 1:
                raise Missing("no such device waits", cure=_GONE)
