"""``ports.vault.principals`` on SQLite or PostgreSQL.

    server       one row: the server's id and the key that tokens are signed with
    principals   a row each; the secrets, as salted digests, are a document in it
    ended        sessions that somebody ended, each until it would have been over by itself

Servers that share a PostgreSQL are one to whoever signs in: same id, same key, same principals.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from bascule.model.errors import Damaged, Exists, Missing
from bascule.model.vault.principal import Kind, Principal, Secret
from bascule.ports.chance import Ids

from .tables import Database

_KEY_BYTES = 32


class SqlPrincipals:
    """The principals of a server, or of several that share a database."""

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        with database.write() as rows:
            found = rows.execute("SELECT id, key FROM server").fetchone()
            if found is None:
                found = str(UUID(bytes=ids.random(16), version=4)), ids.random(_KEY_BYTES).hex()
                rows.execute("INSERT INTO server (id, key) VALUES (?, ?)", found)
        self.server: str = found[0]
        self.key = bytes.fromhex(found[1])

    def add(self, principal: Principal) -> None:
        """Write a new principal in."""
        with self._database.write() as rows:
            added = rows.execute(
                "INSERT INTO principals (id, name, is_owner, secrets, kind) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                _row(principal),
            )
            if added.rowcount != 1:
                raise Exists(
                    f"there is a user or a program called {principal.name}",
                    cure="choose another name",
                )

    def put(self, principal: Principal) -> None:
        """Replace a principal."""
        id, *values = _row(principal)
        with self._database.write() as rows:
            done = rows.execute(
                "UPDATE principals SET name=?, is_owner=?, secrets=?, kind=? WHERE id=?", (*values, id)
            )
            if done.rowcount != 1:
                raise _missing(principal.id)

    def get(self, id: str) -> Principal:
        """Return a principal."""
        with self._database.read() as rows:
            row = rows.execute(f"{_ALL} WHERE id=?", (id,)).fetchone()
        if row is None:
            raise _missing(id)
        return _principal(row)

    def all(self) -> tuple[Principal, ...]:
        """Return all principals, by name."""
        with self._database.read() as rows:
            found = rows.execute(f"{_ALL} ORDER BY name").fetchall()
        return tuple(map(_principal, found))

    def remove(self, id: str) -> None:
        """Remove a principal."""
        with self._database.write() as rows:
            if rows.execute("DELETE FROM principals WHERE id=?", (id,)).rowcount != 1:
                raise _missing(id)

    def end_session(self, session: str, until: float, now: float) -> None:
        """Write down that a session is over."""
        with self._database.write() as rows:
            rows.execute("DELETE FROM ended WHERE until <= ?", (now,))
            rows.execute(
                "INSERT INTO ended (session, until) VALUES (?, ?) ON CONFLICT DO NOTHING", (session, until)
            )

    def has_ended(self, session: str) -> bool:
        """Tell whether somebody ended a session."""
        with self._database.read() as rows:
            return rows.execute("SELECT 1 FROM ended WHERE session=?", (session,)).fetchone() is not None


_ALL = "SELECT id, name, is_owner, secrets, kind FROM principals"


def _row(principal: Principal) -> tuple[str, str, int, str, str]:
    secrets = [
        {
            "id": one.id,
            "salt": one.salt.hex(),
            "digest": one.digest.hex(),
            "made_at": one.made_at,
            "expires_at": one.expires_at,
        }
        for one in principal.secrets
    ]
    owns, kind = int(principal.is_owner), str(principal.kind)
    return principal.id, principal.name, owns, json.dumps(secrets), kind


def _principal(row: tuple[str, str, int, str, str]) -> Principal:
    id, name, is_owner, text, kind = row
    try:
        secrets: list[dict[str, Any]] = json.loads(text)
        return Principal(id, name, bool(is_owner), tuple(_secret(one) for one in secrets), Kind(kind))
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"principal {name} cannot be read: {error!r}") from error


def _secret(fields: dict[str, Any]) -> Secret:
    salt, digest = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["digest"])
    return Secret(fields["id"], salt, digest, fields["made_at"], fields["expires_at"])


def _missing(id: str) -> Missing:
    return Missing(f"there is no principal {id[:64]}", cure="`list` names them")
