"""Where a vault's nouns are kept: rows that change together or not at all.

Everything goes through a transaction. Writers take turns: what a writing transaction reads stays as it is
until it ends, so *look, then write* needs no lock of its own. What is committed is durable on return.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol, TypeVar

from bascule.model.vault.access import Assignment
from bascule.model.vault.extended import ExtendedInfo
from bascule.model.vault.fabric import Enrolment, Fabric, ProtectableItem, ReplicationPolicy, Server
from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.job import Job, JobId, JobState
from bascule.model.vault.plan import RecoveryPlan
from bascule.model.vault.sides.pairing import Container, ContainerMapping, RecoverySettings
from bascule.model.vault.signs.alerts import AlertPlace, AlertSettings
from bascule.model.vault.signs.event import Condition, Event
from bascule.model.vault.vault import Vault

from .vault.audit import Deed

Kept = TypeVar("Kept")


class Part(StrEnum):
    """What of a vault one can be told of that it has changed."""

    ITEMS = "item"
    JOBS = "job"
    SERVERS = "server"
    CONDITIONS = "condition"


class VaultBook(Protocol):
    """The vaults of a server."""

    def add(self, vault: Vault) -> None:
        """Write a new vault in. Exists if the name is taken."""

    def get(self, name: str) -> Vault:
        """Return a vault, or raise Missing."""

    def meant(self, name: str, of: str | None = None) -> Vault | None:
        """Return the vault of a name, or else one whose name differs in case only, or None.

        With ``of``, of those in which somebody has a role.
        """

    def save(self, vault: Vault) -> None:
        """Replace what is known of a vault, or raise Missing."""

    def list(self, of: str | None = None) -> tuple[Vault, ...]:
        """Return all by name, or those in which somebody has a role."""

    def remove(self, name: str) -> None:
        """Remove a vault with all that is in it; Missing without it. What was done in it stays recorded."""


class Shelf(Protocol[Kept]):
    """Small nouns of one kind, of all vaults, each by its id. Whoever asks names the vault (R-W-1)."""

    def add(self, noun: Kept) -> None:
        """Write a new noun in. Exists if the vault has one of that id; Missing without the vault."""

    def put(self, noun: Kept) -> None:
        """Write a noun in, in place of one that has its id. Missing without the vault."""

    def get(self, vault: str, id: str) -> Kept:
        """Return a noun, or raise Missing."""

    def list(self, vault: str) -> tuple[Kept, ...]:
        """Return a vault's nouns, by id."""

    def remove(self, vault: str, id: str) -> None:
        """Remove a noun, or raise Missing."""


class EventBook(Protocol):
    """The events of all vaults."""

    def add(self, event: Event) -> None:
        """Write an event in, under the next number. Missing without the vault."""

    def list(self, vault: str, limit: int = 1000, before: int = 0) -> tuple[Event, ...]:
        """Return a vault's events, the newest first; only those before a number if one is given."""

    def following(self, vault: str, number: int, limit: int = 1000) -> tuple[Event, ...]:
        """Return a vault's events after a number, the oldest first."""

    def forget(self, before: float) -> int:
        """Remove the events before a moment, and return how many there were."""


class DeedBook(Protocol):
    """Who did what in which vault, and who was refused. It outlives the vault."""

    def note(self, vault: str, deed: Deed) -> None:
        """Write a deed down."""

    def list(self, vault: str, limit: int = 1000) -> tuple[Deed, ...]:
        """Return a vault's deeds, the newest first."""


class ItemBook(Protocol):
    """The items of all vaults. Whoever asks names the vault, and sees nothing of the others (R-W-1)."""

    def add(self, item: ProtectedItem) -> None:
        """Write a new item in. Exists if the vault has one of that id or name; Missing without the vault."""

    def get(self, vault: str, id: str) -> ProtectedItem:
        """Return an item, or raise Missing."""

    def named(self, vault: str, name: str) -> ProtectedItem:
        """Return the item of a name, or else one whose name differs in case only, or raise Missing."""

    def list(self, vault: str, limit: int = 0, after: str = "") -> tuple[ProtectedItem, ...]:
        """Return a vault's items by name: all, or so many behind a name."""

    def names(self, vault: str, ids: frozenset[str]) -> Mapping[str, str]:
        """Return what items are called, by id; of those that are not there nothing."""

    def count(self) -> int:
        """Return how many there are in all vaults."""

    def remove(self, vault: str, id: str) -> None:
        """Remove an item with its jobs, or raise Missing."""

    def save(self, item: ProtectedItem) -> ProtectedItem:
        """Replace an item and return it with its next version; Unavailable if it changed meanwhile."""


class JobBook(Protocol):
    """The jobs of all vaults."""

    def add(self, job: Job) -> None:
        """Write a new job in. Exists if its item has one that has not ended."""

    def get(self, vault: str, id: JobId) -> Job:
        """Return a job, or raise Missing."""

    def list(self, vault: str, limit: int = 1000, after: str = "") -> tuple[Job, ...]:
        """Return a vault's jobs, the newest first: so many at most, behind a job or from the first.

        Missing if the job that is named is not there any more.
        """

    def open(self, vault: str = "", item: str = "", id: str = "") -> tuple[Job, ...]:
        """Return the jobs that have not ended: all, or those of a vault, of an item's id, of that id."""

    def states(self) -> Mapping[JobState, int]:
        """Return how many jobs that have not ended are in each state, without reading them."""

    def going_on(self, vault: str, item: str) -> Job | None:
        """Return the job of an item that has not ended, None if there is none."""

    def save(self, job: Job) -> Job:
        """Replace a job and return it with its next version.

        Unavailable if it changed meanwhile; Exists if it has not ended and another one of its item has not.
        """

    def forget(self, ended_before: float) -> tuple[Job, ...]:
        """Remove the jobs that ended before a moment, and return them."""


class Books(Protocol):
    """What one transaction sees. ``connection`` is for whoever writes into the same database beside us."""

    @property
    def connection(self) -> object: ...

    @property
    def vaults(self) -> VaultBook: ...

    @property
    def items(self) -> ItemBook: ...

    @property
    def jobs(self) -> JobBook: ...

    @property
    def assignments(self) -> Shelf[Assignment]: ...

    @property
    def fabrics(self) -> Shelf[Fabric]: ...

    @property
    def enrolments(self) -> Shelf[Enrolment]: ...

    @property
    def servers(self) -> Shelf[Server]: ...

    @property
    def protectable(self) -> Shelf[ProtectableItem]: ...

    @property
    def policies(self) -> Shelf[ReplicationPolicy]: ...

    @property
    def containers(self) -> Shelf[Container]: ...

    @property
    def mappings(self) -> Shelf[ContainerMapping]: ...

    @property
    def recovery_settings(self) -> Shelf[RecoverySettings]: ...

    @property
    def plans(self) -> Shelf[RecoveryPlan]: ...

    @property
    def conditions(self) -> Shelf[Condition]: ...

    @property
    def alerts(self) -> Shelf[AlertSettings]: ...

    @property
    def alert_places(self) -> Shelf[AlertPlace]: ...

    @property
    def extended(self) -> Shelf[ExtendedInfo]: ...

    @property
    def events(self) -> EventBook: ...

    @property
    def deeds(self) -> DeedBook: ...

    def stamp(self, vault: str, *parts: Part) -> str:
        """Return a word for how parts of a vault stand in this transaction.

        Two transactions that read the same word saw the same there: every change draws another one by lot,
        whoever makes it, and it is never drawn again.
        """


class Catalog(Protocol):
    """A database of vaults. Safe to use from several threads; raises Unavailable when it does not answer."""

    @property
    def engine(self) -> object:
        """What connects to the database, for whoever keeps its own tables there."""

    def writing(self) -> AbstractContextManager[Books]:
        """Return a transaction that is committed at the end of the block, and undone by an error."""

    def reading(self) -> AbstractContextManager[Books]:
        """Return a transaction that sees one state of everything, waits for nobody and changes nothing."""

    def close(self) -> None:
        """Let the database go."""
