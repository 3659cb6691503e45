"""Where a vault's nouns are kept: rows that change together or not at all.

Everything goes through a transaction. Writers take turns: what a writing transaction reads stays as it is
until it ends, so *look, then write* needs no lock of its own. What is committed is durable on return.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.job import Job, JobId
from bascule.model.vault.vault import Vault


class VaultBook(Protocol):
    """The vaults of a server."""

    def add(self, vault: Vault) -> None:
        """Write a new vault in. Exists if the name is taken."""

    def list(self) -> tuple[Vault, ...]:
        """Return all, by name."""


class ItemBook(Protocol):
    """The items of all vaults. Whoever asks names the vault, and sees nothing of the others (R-W-1)."""

    def add(self, item: ProtectedItem) -> None:
        """Write a new item in. Exists if the vault has one of that id or name; Missing without the vault."""

    def get(self, vault: str, id: str) -> ProtectedItem:
        """Return an item, or raise Missing."""

    def list(self, vault: str) -> tuple[ProtectedItem, ...]:
        """Return a vault's items, by name."""

    def save(self, item: ProtectedItem) -> ProtectedItem:
        """Replace an item and return it with its next version; Unavailable if it changed meanwhile."""


class JobBook(Protocol):
    """The jobs of all vaults."""

    def add(self, job: Job) -> None:
        """Write a new job in. Exists if its item has one that has not ended."""

    def get(self, vault: str, id: JobId) -> Job:
        """Return a job, or raise Missing."""

    def list(self, vault: str, limit: int = 1000) -> tuple[Job, ...]:
        """Return a vault's jobs, the newest first."""

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
