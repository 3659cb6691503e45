"""Protected items and the commands that they are given; each is a job (R-P-2, R-FO)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bascule.control import meant
from bascule.control.jobs.jobs import Jobs
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.vault.access import Caller, Right, right_for
from bascule.model.vault.fabric import check_name
from bascule.model.vault.item import Command, ProtectedItem, Protection
from bascule.model.vault.job import Job, Value
from bascule.model.vault.route import Route
from bascule.ports.catalog import Books
from bascule.ports.chance import Ids

from ..gate import Call, Gate
from ..sides.containers import admitted
from .grouping import grouped
from .view import View


def _as_it_was(_item: str) -> str:
    return ""


class ItemDesk:
    """The items of vaults."""

    def __init__(self, gate: Gate, jobs: Jobs, ids: Ids) -> None:
        self._gate = gate
        self._jobs = jobs
        self._ids = ids

    def list(self, caller: Caller, vault: str, limit: int = 0, after: str = "") -> tuple[ProtectedItem, ...]:
        """Return a vault's items by name: all, or so many behind a name."""
        with self._gate.reading(Call(caller, "list-items", vault, Right.READ)) as books:
            return books.items.list(vault, limit, after)

    @contextmanager
    def viewing(self, caller: Caller, vault: str) -> Iterator[View]:
        """Let a caller look at one state of a vault's items and of what is around them."""
        with self._gate.reading(Call(caller, "list-items", vault, Right.READ)) as books:
            yield View(books, vault)

    def names(self, caller: Caller, vault: str, ids: frozenset[str]) -> Mapping[str, str]:
        """Return what items are called, by id."""
        with self._gate.reading(Call(caller, "list-items", vault, Right.READ)) as books:
            return books.items.names(vault, ids)

    def get(self, caller: Caller, vault: str, id: str) -> ProtectedItem:
        """Return an item by its id or name, or raise Missing."""
        with self._gate.reading(Call(caller, "show-item", vault, Right.READ, id)) as books:
            return meant.item(books, vault, id)

    def named(self, caller: Caller, vault: str, name: str) -> ProtectedItem:
        """Return the item of a name, in whatever case it is written, or raise Missing."""
        with self._gate.reading(Call(caller, "show-item", vault, Right.READ, name)) as books:
            return books.items.named(vault, name)

    def enable(
        self,
        caller: Caller,
        vault: str,
        name: str,
        route: Route,
        container: str = "",
        settings_for: Callable[[str], str] = _as_it_was,
    ) -> Job:
        """Begin to protect a machine under a name, and return the job.

        The hosts have to be this vault's: nobody commands another vault's host. What the route leaves open is
        as the machine's group in the container says, or its site, or the vault. ``settings_for`` returns for
        the item's id what the machine is to be over there, empty if it is to be as it was.
        """
        with self._gate.writing(Call(caller, "enable", vault, Right.CHANGE, name)) as books:
            route, group = grouped(books, vault, container, route)
            item = self._made(books, vault, name, route, group)
            if settings := settings_for(item.id):
                item = books.items.save(replace(item, settings=settings))
            begin = {"first_copy_at": _first_copy_at(books, item)}
            return self._jobs.submit_in(books, vault, item.id, Command.ENABLE, begin, caller.name)

    def command(
        self,
        caller: Caller,
        vault: str,
        id: str,
        command: Command,
        input: Mapping[str, Value] | None = None,
    ) -> Job:
        """Give an item, by its id or name, a command and return its job; Refused as the item stands."""
        call = Call(caller, command.name.lower().replace("_", "-"), vault, right_for(command), id)
        with self._gate.writing(call) as books:
            item = meant.item(books, vault, id)
            asked = dict(input or {})
            if command is Command.FAIL_BACK and asked.get("host"):
                # A host of another vault is none that this one could name.
                asked["host"] = admitted(meant.server(books, vault, str(asked["host"]))).id
            return self._jobs.submit_in(books, vault, item.id, command, asked, caller.name)

    def remove(self, caller: Caller, vault: str, id: str) -> None:
        """Forget an item that is not protected any more, with its jobs."""
        with self._gate.writing(Call(caller, "remove-item", vault, Right.CHANGE, id)) as books:
            item = books.items.get(vault, id)
            if item.protection is not Protection.UNPROTECTED:
                raise Refused(f"{item.name} is {item.protection}", cure="disable its protection first")
            if any(job.item == id for job in books.jobs.open(vault)):
                raise Refused(f"{item.name} has a job that has not ended", cure="wait for it, or cancel it")
            books.items.remove(vault, id)

    def _made(self, books: Books, vault: str, name: str, route: Route, group: str) -> ProtectedItem:
        """Return the item: a new one, or one of that name that is not protected any more."""
        check_name(name, "an item")
        try:
            known = books.items.named(vault, name)
        except Missing:
            return self._new(books, vault, name, route, group)
        if known.protection is not Protection.UNPROTECTED:
            raise Exists(f"{vault} has an item {known.name} ({known.id}) already", cure="choose another name")
        return books.items.save(replace(known, route=route, mapping=group, disks=()))

    def _new(self, books: Books, vault: str, name: str, route: Route, group: str) -> ProtectedItem:
        # Hosts and stores serve several vaults, and know an item by its id alone.
        id = f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:24]}-{self._ids.random(4).hex()}"
        item = ProtectedItem(id, vault, name, route=route, mapping=group)
        books.items.add(item)
        return item


def _first_copy_at(books: Books, item: ProtectedItem) -> str:
    policy = item.route.policy
    return books.policies.get(item.vault, policy).policy.first_copy_at if policy else ""
