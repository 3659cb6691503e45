"""A catalog in SQLite (a file) or PostgreSQL (a URL).

Writers take turns: in SQLite by BEGIN IMMEDIATE, in PostgreSQL by an advisory lock that each writing
transaction holds to its end. So both keep the same promise with the same code, and a vault's writes are
small: what takes long happens outside of transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bascule.model.errors import Refused, Unavailable
from bascule.ports.nodes import Nodes

from .books import SqlBooks
from .nodes import OneNode, PostgresNodes

_BUSY_MILLISECONDS = 30_000
_TURN = 0x62617363
"""The advisory lock of writers."""


def place(words: str) -> sa.URL:
    """Return where a catalog is: ``postgresql://…``, or the path of a file."""
    if "://" not in words:
        return sa.URL.create("sqlite", database=str(Path(words).absolute()))
    url = sa.make_url(words)
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise Refused(f"no catalog is kept in {url.drivername}", cure="name a file, or postgresql://…")
    return url.set(drivername="postgresql+psycopg")


class SqlCatalog:
    """Vaults in a database. The tables are brought up to date when it is opened."""

    def __init__(self, words: str) -> None:
        url = place(words)
        self._is_sqlite = url.drivername == "sqlite"
        # All stay open: those beyond a smaller pool would be opened anew with each request under load.
        self.engine = sa.create_engine(url, pool_pre_ping=not self._is_sqlite, pool_size=30, max_overflow=0)
        if self._is_sqlite:
            event.listen(self.engine, "connect", _prepare)
        self._upgrade()

    @contextmanager
    def writing(self) -> Iterator[SqlBooks]:
        """Take our turn to write."""
        with _translated(), self.engine.begin() as connection:
            self._take_turn(connection)
            yield SqlBooks(connection)

    @contextmanager
    def reading(self) -> Iterator[SqlBooks]:
        """See one state of everything."""
        with _translated(), self.engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield SqlBooks(connection)

    def nodes(self) -> Nodes:
        """Return who runs the jobs of this catalog."""
        if self._is_sqlite:
            return OneNode(Path(str(self.engine.url.database)))
        return PostgresNodes(self.engine)

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()

    def _take_turn(self, connection: sa.Connection) -> None:
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with _translated(), self.engine.begin() as connection:
            self._take_turn(connection)
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise Refused(
                    f"the catalog is of a version that this Bascule does not know: {error}",
                    cure="use the newer Bascule that made it so",
                    code="too-new",
                ) from error


def _prepare(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    # Whoever shares the engine and says no BEGIN of its own gets this one with its first write.
    connection.isolation_level = "IMMEDIATE"
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        said = getattr(error, "orig", None) or error
        raise Unavailable(
            f"the catalog did not do what it was asked: {said}",
            cure="see that the database runs and has room",
            code="catalog-unavailable",
        ) from error
