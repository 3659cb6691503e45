"""Who runs the jobs of a catalog: one process of a file, any number of a server."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from bascule.model.errors import Refused, Unavailable

_KIND = 0x62617363


class OneNode:
    """A catalog in a file has one process, by a lock beside the file."""

    def __init__(self, catalog: Path) -> None:
        self._path = catalog.with_name(catalog.name + ".lock")
        self._file: IO[bytes] | None = None
        self._name = ""

    def join(self, name: str) -> None:
        """Hold the lock."""
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise Refused(
                f"another process runs the vaults in {self._path.with_suffix('')}",
                cure="stop that one, or keep the catalog in PostgreSQL and run several",
            ) from error
        self._file, self._name = file, name

    def is_alive(self, name: str) -> bool:
        """Tell whether a name is ours: while we hold the lock nobody else lives."""
        return name == self._name

    def leave(self) -> None:
        """Let the lock go."""
        if self._file is not None:
            self._file.close()
            self._file = None


class PostgresNodes:
    """Each process holds an advisory lock in a session of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._held: sa.Connection | None = None
        self._name = ""

    def join(self, name: str) -> None:
        """Hold the lock of a name."""
        self._name = name
        self._hold()

    def is_alive(self, name: str) -> bool:
        """Tell whether somebody holds the lock of a name."""
        if name == self._name:
            return True
        try:
            with self._engine.connect() as connection:
                # Held to the end of this transaction only, so nobody is kept from asking.
                free = sa.select(sa.func.pg_try_advisory_xact_lock(_KIND, _number(name)))
                return not connection.execute(free).scalar()
        except DBAPIError as error:
            raise Unavailable(f"the catalog does not tell whether {name} lives: {error.orig}") from error

    def leave(self) -> None:
        """Let the lock go."""
        if self._held is not None:
            self._held.invalidate()
            self._held.close()
            self._held = None

    def _hold(self) -> None:
        try:
            held = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            held.execute(sa.select(sa.func.pg_advisory_lock(_KIND, _number(self._name))))
        except DBAPIError as error:
            raise Unavailable(f"the catalog does not let {self._name} join: {error.orig}") from error
        self._held = held


def _number(name: str) -> int:
    return crc32(name.encode()) - (1 << 31)
