"""The file, its tables, and transactions.

Two connections: one waits for the disk with each commit, the other leaves that to the system: for what a host
says of the moment, which it says again as a whole if it is lost.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.model.errors import Damaged, Unavailable

_VERSION = 3
_BUSY_SECONDS = 10.0
_TABLES = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY, secret_digest TEXT NOT NULL, expires_at REAL NOT NULL, host TEXT NOT NULL);
CREATE TABLE uses (key TEXT NOT NULL, host TEXT NOT NULL, public_key TEXT NOT NULL, PRIMARY KEY (key, host));
CREATE TABLE hosts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, registered_at REAL NOT NULL,
    is_revoked INTEGER NOT NULL DEFAULT 0,
    certificate TEXT NOT NULL, serial TEXT NOT NULL, public_key TEXT NOT NULL, expires_at REAL NOT NULL,
    old_serial TEXT NOT NULL DEFAULT '', last_sequence INTEGER NOT NULL DEFAULT 0);
CREATE TABLE sight (host TEXT PRIMARY KEY, seen_at REAL NOT NULL, report INTEGER NOT NULL DEFAULT 0);
CREATE TABLE facts (host TEXT NOT NULL, grp TEXT NOT NULL, fields TEXT NOT NULL, PRIMARY KEY (host, grp));
CREATE TABLE orders (
    host TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, verb TEXT NOT NULL,
    grp TEXT NOT NULL,
    arguments TEXT NOT NULL, result TEXT, PRIMARY KEY (host, sequence));
CREATE INDEX open_orders ON orders (host, sequence) WHERE result IS NULL;
CREATE TABLE deeds (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    subject TEXT NOT NULL,
    code TEXT NOT NULL, detail TEXT NOT NULL);
"""
_OF_VERSION_2 = """
CREATE TABLE ranks (item TEXT PRIMARY KEY, generation INTEGER NOT NULL, turn INTEGER NOT NULL);
"""
_OF_VERSION_3 = """
CREATE TABLE machines (host TEXT PRIMARY KEY, names TEXT NOT NULL);
"""


class Database:
    """One SQLite file, open. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        with self._told():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sure, self._quick = self._connected("FULL"), self._connected("NORMAL")
        with self.write() as rows:
            self._prepare(rows)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._sure.close()
            self._quick.close()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Be the only writer; what was written is there when this ends, all or nothing."""
        connection = self._sure if durable else self._quick
        with self._guard, self._told():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Look at one state of it all."""
        with self._guard, self._told():
            self._quick.execute("BEGIN")
            try:
                yield self._quick
            finally:
                self._quick.execute("ROLLBACK")

    def _connected(self, synchronous: str) -> sqlite3.Connection:
        made = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._path.chmod(0o600)
        made.execute("PRAGMA journal_mode=WAL")
        made.execute(f"PRAGMA synchronous={synchronous}")
        return made

    def _prepare(self, rows: sqlite3.Connection) -> None:
        (found,) = rows.execute("PRAGMA user_version").fetchone()
        if found > _VERSION:
            raise Damaged(f"{self._path} is of version {found}, not {_VERSION}", cure="use a newer bascule")
        for version, tables in enumerate((_TABLES, _OF_VERSION_2, _OF_VERSION_3), 1):
            for statement in tables.split(";") if found < version else ():
                rows.execute(statement)
        rows.execute(f"PRAGMA user_version={_VERSION}")

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
