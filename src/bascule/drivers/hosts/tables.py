"""The tables, and what a transaction over them can be asked: words that both databases understand.

In PostgreSQL a REAL would have four bytes, and rows have no number of their own: ``spelled`` says these in
its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

VERSION = 9
_FIRST = """
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
_OF_VERSION_4 = """
CREATE TABLE authority (text TEXT NOT NULL);
"""
_OF_VERSION_5 = """
CREATE TABLE server (id TEXT NOT NULL, key TEXT NOT NULL);
CREATE TABLE principals (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, is_owner INTEGER NOT NULL, secrets TEXT NOT NULL);
CREATE UNIQUE INDEX principal_names ON principals (lower(name));
ALTER TABLE orders ADD COLUMN ended_at REAL ;
CREATE INDEX ended_orders ON orders (ended_at) WHERE ended_at IS NOT NULL;
"""

_OF_VERSION_6 = """
ALTER TABLE orders ADD COLUMN headway TEXT;
"""
_OF_VERSION_7 = """
ALTER TABLE principals ADD COLUMN kind TEXT NOT NULL DEFAULT 'program';
CREATE TABLE devices (
    id TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE, expires_at REAL NOT NULL,
    person TEXT NOT NULL, secret TEXT NOT NULL);
"""
_OF_VERSION_8 = """
ALTER TABLE sight ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE facts ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
"""
_OF_VERSION_9 = """
CREATE TABLE ended (session TEXT PRIMARY KEY, until REAL NOT NULL);
"""

STEPS = (
    _FIRST,
    _OF_VERSION_2,
    _OF_VERSION_3,
    _OF_VERSION_4,
    _OF_VERSION_5,
    _OF_VERSION_6,
    _OF_VERSION_7,
    _OF_VERSION_8,
    _OF_VERSION_9,
)


def steps(after: int) -> Iterator[str]:
    """Yield the statements that bring tables of a version up to date."""
    for version, words in enumerate(STEPS, 1):
        if version > after:
            yield from (statement for statement in words.split(";") if statement.strip())


def spelled(statement: str) -> str:
    """Return a statement that makes a table, as PostgreSQL is told it."""
    said = statement.replace(" REAL ", " DOUBLE PRECISION ")
    said = said.replace("number INTEGER PRIMARY KEY", "number BIGSERIAL PRIMARY KEY")
    return said.replace("public_key TEXT NOT NULL, PRIMARY KEY (key, host)", _NUMBERED)


_NUMBERED = "public_key TEXT NOT NULL, rowid BIGSERIAL, PRIMARY KEY (key, host)"


class Found(Protocol):
    """What a statement led to."""

    @property
    def rowcount(self) -> int: ...

    @property
    def description(self) -> Any: ...

    def fetchone(self) -> Any:
        """Return the next row, None if there is none."""

    def fetchall(self) -> list[Any]:
        """Return all rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Rows(Protocol):
    """A transaction. Values stand for question marks."""

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Found:
        """Carry a statement out."""

    def executemany(self, statement: str, values: Sequence[Sequence[object]], /) -> object:
        """Carry a statement out for each of several rows of values."""


class Database(Protocol):
    """Where the rows are. Thread-safe.

    Raises Unavailable when it does not answer, Damaged for what cannot be read.
    """

    def write(self, *, durable: bool = True) -> AbstractContextManager[Rows]:
        """Be the only writer; what was written is there when this ends, all or nothing."""

    def read(self) -> AbstractContextManager[Rows]:
        """Look at one state of it all."""

    def close(self) -> None:
        """Let it go."""
