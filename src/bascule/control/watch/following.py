"""Gives protected machines a job when their policy was changed, as soon as each can have one (R-P-5).

A policy counts its changes, and an item says of which one its host was last told. Whatever differs is due: so
nothing is lost with whoever changed a policy, and whoever is killed amid a look has done it for some.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event as Flag

import structlog

from bascule.control.jobs.jobs import Jobs
from bascule.model.errors import Missing, Unavailable
from bascule.model.vault.item import Command, ProtectedItem
from bascule.ports.catalog import Books, Catalog

log = structlog.get_logger("control.watch")
_AT_ONCE = 50
"""How many get a job in one transaction: other writers wait for it."""

Revisions = Mapping[str, int]


class Following:
    """Looks after the policies of a catalog's vaults. Any number may, of one catalog."""

    def __init__(self, catalog: Catalog, jobs: Jobs) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._followed: dict[str, Revisions] = {}

    def run(self, over: Flag, every_seconds: float = 5.0) -> None:
        """Look until it is over."""
        while not over.wait(every_seconds):
            try:
                self.look()
            except Unavailable as error:
                log.warning("watch.policies_waited", error=str(error))

    def look(self) -> None:
        """Give a job to each item that is to hear of its policy, and has none that has not ended."""
        for vault, due in self._due().items():
            for first in range(0, len(due), _AT_ONCE):
                with self._catalog.writing() as books:
                    for item in due[first : first + _AT_ONCE]:
                        self._begin(books, vault, item)

    def _due(self) -> Mapping[str, list[str]]:
        """Return whom to look at, by vault. Where nobody owes anything only policies are read again."""
        found = {}
        with self._catalog.reading() as books:
            for vault in (one.name for one in books.vaults.list()):
                revisions = _revisions(books, vault)
                if self._followed.get(vault) == revisions:
                    continue
                owing = [one for one in books.items.list(vault) if _owes(one, revisions)]
                if not owing:
                    self._followed[vault] = revisions
                busy = {job.item for job in books.jobs.open(vault)} if owing else set()
                found[vault] = [one.id for one in owing if one.id not in busy and _can_hear(one)]
        return found

    def _begin(self, books: Books, vault: str, id: str) -> None:
        """Anew, and as the only writer: somebody may have given it another command meanwhile."""
        try:
            item = books.items.get(vault, id)
        except Missing:
            return
        is_free = books.jobs.going_on(vault, id) is None and _can_hear(item)
        if is_free and _owes(item, _revisions(books, vault)):
            self._jobs.submit_in(books, vault, id, Command.FOLLOW_POLICY, {}, "")
            log.info("watch.policy_followed", vault=vault, item=id, policy=item.route.policy)


def _revisions(books: Books, vault: str) -> Revisions:
    return {one.id: one.revision for one in books.policies.list(vault)}


def _owes(item: ProtectedItem, revisions: Revisions) -> bool:
    return item.owes(revisions.get(item.route.policy, item.policy_revision))


def _can_hear(item: ProtectedItem) -> bool:
    return Command.FOLLOW_POLICY in item.allowed()
