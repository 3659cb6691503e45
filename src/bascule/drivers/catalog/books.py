"""The books of one transaction, each over a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bascule.model.errors import Exists, Missing, Unavailable
from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.job import Job, JobId, JobState
from bascule.model.vault.vault import Vault
from bascule.ports.catalog import Part

from .documents import item_of, job_of, text_of, vault_of
from .records import SqlDeeds, SqlEvents
from .shelves import Shelves, check_vault, vaults_of
from .tables import EVENTS, ITEMS, JOBS, SHELVES, STAMPS, VAULTS


class SqlVaults:
    """The vaults."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, vault: Vault) -> None:
        """Write a new vault in."""
        try:
            self._connection.execute(sa.insert(VAULTS).values(_columns(vault)))
        except IntegrityError as error:
            raise Exists(f"there is a vault called {vault.name}", cure="choose another name") from error

    def get(self, name: str) -> Vault:
        """Return a vault, or raise Missing."""
        found = self.meant(name)
        if found is None or found.name != name:
            raise Missing(f"there is no vault called {name}")
        return found

    def meant(self, name: str, of: str | None = None) -> Vault | None:
        """Return the vault of a name; the exact one first, which an index finds."""
        for found in _MEANT if of is None else _MEANT_OF:
            words = {"name": name, "lowered": name.lower(), "somebody": of}
            row = self._connection.execute(found, words).first()
            if row is not None:
                return vault_of(row.name, row.document)
        return None

    def list(self, of: str | None = None) -> tuple[Vault, ...]:
        """Return all by name, or those in which somebody has a role."""
        rows = _VAULTS if of is None else _VAULTS_OF
        found = self._connection.execute(rows.order_by(VAULTS.c.name), {"somebody": of})
        return tuple(vault_of(row.name, row.document) for row in found)

    def save(self, vault: Vault) -> None:
        """Replace what is known of a vault."""
        done = sa.update(VAULTS).where(VAULTS.c.name == vault.name).values(_columns(vault))
        if not self._connection.execute(done).rowcount:
            raise Missing(f"there is no vault called {vault.name}")

    def remove(self, name: str) -> None:
        """Remove a vault with all that is in it."""
        check_vault(self._connection, name)
        for table in (JOBS, ITEMS, SHELVES, EVENTS):
            self._connection.execute(sa.delete(table).where(table.c.vault == name))
        self._connection.execute(sa.delete(VAULTS).where(VAULTS.c.name == name))


class SqlItems:
    """The items."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, item: ProtectedItem) -> None:
        """Write a new item in."""
        check_vault(self._connection, item.vault)
        columns = {"vault": item.vault, "id": item.id, "name": item.name, "version": item.version}
        try:
            self._connection.execute(sa.insert(ITEMS).values(columns | {"document": text_of(item)}))
        except IntegrityError as error:
            raise Exists(f"{item.vault} has an item {item.name} ({item.id}) already") from error

    def get(self, vault: str, id: str) -> ProtectedItem:
        """Return an item, or raise Missing."""
        found = sa.select(ITEMS.c.document).where(ITEMS.c.vault == vault, ITEMS.c.id == id)
        text = self._connection.execute(found).scalar()
        if text is None:
            raise Missing(f"{vault} has no item {id}")
        return item_of(text)

    def named(self, vault: str, name: str) -> ProtectedItem:
        """Return the item of a name; the exact one first, which an index finds."""
        for is_it in (ITEMS.c.name == name, sa.func.lower(ITEMS.c.name) == name.lower()):
            text = self._connection.execute(
                sa.select(ITEMS.c.document).where(ITEMS.c.vault == vault, is_it)
            ).scalar()
            if text is not None:
                return item_of(text)
        raise Missing(f"{vault} has no item {name}")

    def list(self, vault: str, limit: int = 0, after: str = "") -> tuple[ProtectedItem, ...]:
        """Return a vault's items, by name."""
        rows = sa.select(ITEMS.c.document).where(ITEMS.c.vault == vault, ITEMS.c.name > after)
        some = rows.order_by(ITEMS.c.name).limit(limit or None)
        return tuple(item_of(text) for text in self._connection.execute(some).scalars())

    def names(self, vault: str, ids: frozenset[str]) -> Mapping[str, str]:
        """Return what items are called, by id."""
        some = sa.select(ITEMS.c.id, ITEMS.c.name).where(ITEMS.c.vault == vault, ITEMS.c.id.in_(ids))
        return {id: name for id, name in self._connection.execute(some)}

    def count(self) -> int:
        """Return how many there are in all vaults."""
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(ITEMS)).scalar_one())

    def remove(self, vault: str, id: str) -> None:
        """Remove an item with its jobs."""
        self._connection.execute(sa.delete(JOBS).where(JOBS.c.vault == vault, JOBS.c.item == id))
        gone = sa.delete(ITEMS).where(ITEMS.c.vault == vault, ITEMS.c.id == id)
        if not self._connection.execute(gone).rowcount:
            raise Missing(f"{vault} has no item {id}")

    def save(self, item: ProtectedItem) -> ProtectedItem:
        """Replace an item of the version that it was read with."""
        after = replace(item, version=item.version + 1)
        done = self._connection.execute(
            sa.update(ITEMS)
            .where(ITEMS.c.vault == item.vault, ITEMS.c.id == item.id, ITEMS.c.version == item.version)
            .values(version=after.version, document=text_of(after))
        )
        if done.rowcount != 1:
            raise Unavailable(f"{item.name} was changed meanwhile", cure="look again", code="changed")
        return after


class SqlJobs:
    """The jobs."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, job: Job) -> None:
        """Write a new job in."""
        columns = {"id": job.id, "vault": job.vault, "item": job.item, "created": job.created}
        columns |= {"ended": job.ended, "version": job.version, "document": text_of(job)}
        try:
            self._connection.execute(sa.insert(JOBS).values(columns))
        except IntegrityError as error:
            raise _busy(job) from error

    def get(self, vault: str, id: JobId) -> Job:
        """Return a job, or raise Missing."""
        found = sa.select(JOBS.c.document).where(JOBS.c.vault == vault, JOBS.c.id == id)
        text = self._connection.execute(found).scalar()
        if text is None:
            raise Missing(f"{vault} has no job {id}")
        return job_of(text)

    def list(self, vault: str, limit: int = 1000, after: str = "") -> tuple[Job, ...]:
        """Return a vault's jobs, the newest first."""
        rows = sa.select(JOBS.c.document).where(JOBS.c.vault == vault)
        if after:
            created = self.get(vault, JobId(after)).created
            is_later = sa.and_(JOBS.c.created == created, JOBS.c.id > after)
            rows = rows.where(sa.or_(JOBS.c.created < created, is_later))
        newest = rows.order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
        return tuple(job_of(text) for text in self._connection.execute(newest).scalars())

    def open(self, vault: str = "", item: str = "", id: str = "") -> tuple[Job, ...]:
        """Return the jobs that have not ended."""
        rows = sa.select(JOBS.c.document).where(JOBS.c.ended.is_(None)).order_by(JOBS.c.created, JOBS.c.id)
        for column, value in ((JOBS.c.vault, vault), (JOBS.c.item, item), (JOBS.c.id, id)):
            rows = rows.where(column == value) if value else rows
        return tuple(job_of(text) for text in self._connection.execute(rows).scalars())

    def states(self) -> Mapping[JobState, int]:
        """Return how many jobs that have not ended are in each state; the database counts."""
        document = JOBS.c.document
        is_sqlite = self._connection.dialect.name == "sqlite"
        told = sa.type_coerce(document, sa.JSON) if is_sqlite else sa.cast(document, sa.JSON)
        state = told["state"].as_string().label("state")
        rows = sa.select(state, sa.func.count()).where(JOBS.c.ended.is_(None)).group_by(state)
        return {JobState(text): count for text, count in self._connection.execute(rows)}

    def going_on(self, vault: str, item: str) -> Job | None:
        """Return the job of an item that has not ended, None if there is none."""
        found = sa.select(JOBS.c.document).where(
            JOBS.c.vault == vault, JOBS.c.item == item, JOBS.c.ended.is_(None)
        )
        text = self._connection.execute(found).scalar()
        return None if text is None else job_of(text)

    def save(self, job: Job) -> Job:
        """Replace a job of the version that it was read with."""
        after = replace(job, version=job.version + 1)
        update = (
            sa.update(JOBS)
            .where(JOBS.c.id == job.id, JOBS.c.version == job.version)
            .values(ended=after.ended, version=after.version, document=text_of(after))
        )
        try:
            done = self._connection.execute(update)
        except IntegrityError as error:
            raise _busy(job) from error
        if done.rowcount != 1:
            raise Unavailable(f"job {job.id} was changed meanwhile", cure="look again", code="changed")
        return after

    def forget(self, ended_before: float) -> tuple[Job, ...]:
        """Remove the jobs that ended before a moment, and return them."""
        old = JOBS.c.ended < ended_before
        rows = self._connection.execute(sa.select(JOBS.c.document).where(old)).scalars().all()
        self._connection.execute(sa.delete(JOBS).where(old))
        return tuple(job_of(text) for text in rows)


class SqlBooks(Shelves):
    """What one transaction sees."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection)
        self.connection = connection
        self.events = SqlEvents(connection)
        self.deeds = SqlDeeds(connection)
        self.vaults = SqlVaults(connection)
        self.items = SqlItems(connection)
        self.jobs = SqlJobs(connection)

    def stamp(self, vault: str, *parts: Part) -> str:
        """Return a word for how parts of a vault stand; one that nothing was ever in has none."""
        drawn = {row.part: row.stamp for row in self.connection.execute(_STAMPS, {"vault": vault})}
        return " ".join(f"{part}:{drawn.get(part, '')}" for part in parts)


# Asked with every call. Put together each time, a question costs four times what its answer does.
_VAULTS = sa.select(VAULTS.c.name, VAULTS.c.document)
_VAULTS_OF = _VAULTS.where(VAULTS.c.name.in_(vaults_of(sa.bindparam("somebody"))))
_IS_MEANT = (
    VAULTS.c.name == sa.bindparam("name"),
    sa.func.lower(VAULTS.c.name) == sa.bindparam("lowered"),
)
_MEANT = tuple(_VAULTS.where(one) for one in _IS_MEANT)
_MEANT_OF = tuple(_VAULTS_OF.where(one) for one in _IS_MEANT)
_STAMPS = sa.select(STAMPS.c.part, STAMPS.c.stamp).where(STAMPS.c.vault == sa.bindparam("vault"))


def _columns(vault: Vault) -> dict[str, str]:
    return {"name": vault.name, "document": text_of(vault)}


def _busy(job: Job) -> Exists:
    return Exists(
        f"item {job.item} has a job that has not ended",
        cure="wait for it, or cancel it",
        code="job-in-progress",
    )
