"""Hosts in a PostgreSQL, for several servers to know the same: transactions.

One connection, which is opened again when it is lost. Writers take turns by an advisory lock, as in SQLite by
its own. What a host says of the moment does not wait for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from bascule.model.errors import Damaged, Unavailable

from .tables import VERSION, Found, Rows, spelled, steps

_SCHEMA = "bascule_hosts"
_TURN = 0x62617364
_CONNECT_SECONDS = 10


class PostgresDatabase:
    """A schema of a PostgreSQL, by its URL."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://")
        self._guard = threading.Lock()
        self._held: psycopg.Connection[Any] | None = None
        with self._told():
            held = self._connection()
            held.execute(sql.SQL("SELECT pg_advisory_lock({})").format(_TURN))
            try:
                held.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(_SCHEMA)))
                held.execute("CREATE TABLE IF NOT EXISTS version (number INTEGER NOT NULL)")
            finally:
                held.execute(sql.SQL("SELECT pg_advisory_unlock({})").format(_TURN))
        with self.write() as rows:
            self._prepare(rows)

    def close(self) -> None:
        """End the connection."""
        with self._guard:
            self._drop()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Rows]:
        """Take our turn to write."""
        with self._guard, self._told(), self._connection().transaction():
            held = self._connection()
            held.execute(sql.SQL("SELECT pg_advisory_xact_lock({})").format(_TURN))
            if not durable:
                held.execute("SET LOCAL synchronous_commit = off")
            yield _Rows(held)

    @contextmanager
    def read(self) -> Iterator[Rows]:
        """Look at one state of it all."""
        with self._guard, self._told(), self._connection().transaction():
            held = self._connection()
            held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield _Rows(held)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._held is None or self._held.closed:
            self._held = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
            self._held.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(_SCHEMA)))
        return self._held

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _prepare(self, rows: Rows) -> None:
        row = rows.execute("SELECT number FROM version").fetchone()
        found = row[0] if row else 0
        if found > VERSION:
            raise Damaged(f"the hosts are of version {found}, not {VERSION}", cure="use a newer bascule")
        for statement in steps(found):
            rows.execute(spelled(statement))
        rows.execute("DELETE FROM version")
        rows.execute("INSERT INTO version VALUES (?)", (VERSION,))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self._drop()
            raise Unavailable(
                f"the database of the hosts does not answer: {error}",
                cure="see that it runs and has room",
                code="catalog-unavailable",
            ) from error


class _Rows:
    """Says to PostgreSQL what is said with question marks."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Found:
        """Carry a statement out."""
        return self._connection.execute(_marked(statement), values)

    def executemany(self, statement: str, values: Sequence[Sequence[object]], /) -> object:
        """Carry a statement out for each of several rows of values."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_marked(statement), values)
        return None


def _marked(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()
