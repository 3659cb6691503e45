"""Hosts in one SQLite file: transactions.

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

from .tables import VERSION, Rows, steps

_BUSY_SECONDS = 10.0


class SqliteDatabase:
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
    def write(self, *, durable: bool = True) -> Iterator[Rows]:
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
    def read(self) -> Iterator[Rows]:
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

    def _prepare(self, rows: Rows) -> None:
        (found,) = rows.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise Damaged(f"{self._path} is of version {found}, not {VERSION}", cure="use a newer bascule")
        for statement in steps(found):
            rows.execute(statement)
        rows.execute(f"PRAGMA user_version={VERSION}")

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
