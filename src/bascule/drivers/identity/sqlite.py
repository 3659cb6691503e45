"""``ports.vault.principals`` on SQLite.

    server       one row: the server's id and the key that tokens are signed with
    principals   a row each; the secrets, as salted digests, are a document in it

Both rows of a server are made in the transaction that makes the tables.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from bascule.model.errors import Damaged, Exists, Missing, Unavailable
from bascule.model.vault.principal import Principal, Secret
from bascule.ports.chance import Ids

_VERSION = 1
_BUSY_SECONDS = 10.0
_KEY_BYTES = 32
_TABLES = """
CREATE TABLE server (id TEXT NOT NULL, key BLOB NOT NULL);
CREATE TABLE principals (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, is_owner INTEGER NOT NULL,
    secrets TEXT NOT NULL);
"""


class SqlitePrincipals:
    """The principals of a server."""

    def __init__(self, path: Path, ids: Ids) -> None:
        self._path = path
        self._guard = threading.Lock()
        with self._told():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._rows = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._rows.execute("PRAGMA journal_mode=WAL")
            self._rows.execute("PRAGMA synchronous=FULL")
        with self._writing() as rows:
            self._prepare(rows, ids)
            self.server, self.key = rows.execute("SELECT id, key FROM server").fetchone()

    server: str
    key: bytes

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._rows.close()

    def add(self, principal: Principal) -> None:
        """Write a new principal in."""
        with self._writing() as rows:
            try:
                rows.execute("INSERT INTO principals VALUES (?, ?, ?, ?)", _row(principal))
            except sqlite3.IntegrityError as error:
                raise Exists(
                    f"there is a service principal called {principal.name}", cure="choose another name"
                ) from error

    def put(self, principal: Principal) -> None:
        """Replace a principal."""
        with self._writing() as rows:
            id, name, is_owner, secrets = _row(principal)
            done = rows.execute(
                "UPDATE principals SET name=?, is_owner=?, secrets=? WHERE id=?",
                (name, is_owner, secrets, id),
            )
            if done.rowcount != 1:
                raise _missing(principal.id)

    def get(self, id: str) -> Principal:
        """Return a principal."""
        with self._guard, self._told():
            row = self._rows.execute("SELECT * FROM principals WHERE id=?", (id,)).fetchone()
        if row is None:
            raise _missing(id)
        return _principal(row)

    def all(self) -> tuple[Principal, ...]:
        """Return all principals, by name."""
        with self._guard, self._told():
            rows = self._rows.execute("SELECT * FROM principals ORDER BY name").fetchall()
        return tuple(_principal(row) for row in rows)

    def remove(self, id: str) -> None:
        """Remove a principal."""
        with self._writing() as rows:
            if rows.execute("DELETE FROM principals WHERE id=?", (id,)).rowcount != 1:
                raise _missing(id)

    def _prepare(self, rows: sqlite3.Connection, ids: Ids) -> None:
        (found,) = rows.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in _TABLES.split(";"):
                rows.execute(statement)
            rows.execute(
                "INSERT INTO server VALUES (?, ?)",
                (str(UUID(bytes=ids.random(16), version=4)), ids.random(_KEY_BYTES)),
            )
            rows.execute(f"PRAGMA user_version={_VERSION}")
        elif found != _VERSION:
            raise Damaged(f"{self._path} is of version {found}, not {_VERSION}", cure="use a newer bascule")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._guard, self._told():
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield self._rows
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"{self._path} does not answer: {error}", cure="see that its disk has room"
            ) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise Damaged(
                f"{self._path} cannot be used: {error}", cure="bring it back from a copy"
            ) from error


def _row(principal: Principal) -> tuple[str, str, bool, str]:
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
    return principal.id, principal.name, principal.is_owner, json.dumps(secrets)


def _principal(row: tuple[str, str, int, str]) -> Principal:
    id, name, is_owner, text = row
    try:
        secrets: list[dict[str, Any]] = json.loads(text)
        return Principal(id, name, bool(is_owner), tuple(_secret(one) for one in secrets))
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"service principal {name} cannot be read: {error!r}") from error


def _secret(fields: dict[str, Any]) -> Secret:
    salt, digest = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["digest"])
    return Secret(fields["id"], salt, digest, fields["made_at"], fields["expires_at"])


def _missing(id: str) -> Missing:
    return Missing(f"there is no service principal {id[:64]}", cure="`list` names them")
