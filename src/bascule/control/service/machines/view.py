"""One state of a vault's machines, for whoever shows many of them: the items, and what is around them."""

from __future__ import annotations

from bascule.model.vault.fabric import Server
from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.job import Job
from bascule.model.vault.signs.event import Condition
from bascule.ports.catalog import Books, Part


class View:
    """What one transaction sees of a vault, read as it is asked for.

    ``stamp`` is of all that can be asked here: what was made of a view before is what would be made of this
    one, if theirs is the same.
    """

    def __init__(self, books: Books, vault: str) -> None:
        self._books = books
        self._vault = vault
        self.stamp = books.stamp(vault, *Part)

    def stamp_around(self) -> str:
        """Return the stamp of all but the items."""
        return self._books.stamp(self._vault, Part.JOBS, Part.SERVERS, Part.CONDITIONS)

    def items(self, limit: int = 0, after: str = "") -> tuple[ProtectedItem, ...]:
        """Return the items by name: all, or so many behind a name."""
        return self._books.items.list(self._vault, limit, after)

    def servers(self) -> tuple[Server, ...]:
        """Return the hosts, by id."""
        return self._books.servers.list(self._vault)

    def jobs(self) -> tuple[Job, ...]:
        """Return the jobs that have not ended; an item has one at most."""
        return self._books.jobs.open(self._vault)

    def conditions(self) -> tuple[Condition, ...]:
        """Return what is wrong."""
        return self._books.conditions.list(self._vault)
