"""Protected items, as those look that ask: found by name in the container of the host that they are on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from bascule.control.service.machines.view import View
from bascule.model.errors import Missing
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.job import Job
from bascule.model.vault.sides.pairing import Container
from bascule.model.vault.signs.event import Condition

from ...answers import Answer, joined, spelled
from ...asking import Ask
from ..sides.containers import container_of, container_words, held_by
from .shown import Doing, Near, shape

PAGE = 500
_NOUN_BYTES = 1024
_NOWHERE = "unknown"
"""The site of an item whose host was taken out of the catalog."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is around items of a vault, looked up once for all that are shown."""

    servers: Mapping[str, Server]
    jobs: Mapping[str, Job]
    conditions: Mapping[str, list[Condition]]
    """What is wrong, by what it is wrong with."""

    @classmethod
    def of(cls, ask: Ask) -> Around:
        """Look it up."""
        with ask.service.items.viewing(ask.caller, ask.vault) as view:
            return cls.seen(ask, view)

    @classmethod
    def seen(cls, ask: Ask, view: View) -> Around:
        """Look it up in a view, if it was not looked up as it is before."""
        return ask.desks.around.made((ask.vault, view.stamp_around()), lambda: cls._read(view))

    @classmethod
    def _read(cls, view: View) -> Around:
        conditions: dict[str, list[Condition]] = {}
        for one in view.conditions():
            conditions.setdefault(one.subject, []).append(one)
        servers = {one.id: one for one in view.servers()}
        return cls(servers, {job.item: job for job in view.jobs()}, conditions)

    def weight(self) -> int:
        """Return about how many bytes this has."""
        return _NOUN_BYTES * (len(self.servers) + len(self.jobs) + sum(map(len, self.conditions.values())))

    def fabric(self, host: str) -> str:
        """Return the fabric of a host."""
        return self.servers[host].fabric if host in self.servers else ""

    def container(self, item: ProtectedItem) -> Container | None:
        """Return the container that an item is in, None if its host is not known any more."""
        fabric = self.fabric(item.route.source)
        return held_by(item, fabric) if fabric or item.mapping else None

    def near(self, item: ProtectedItem) -> Near:
        """Return what of it is around an item."""
        job = self.jobs.get(item.id)
        return Near(
            self.container(item) or Container.own(item.vault, _NOWHERE),
            self.servers.get(item.route.source),
            self.fabric(item.route.recovery),
            Doing(job.command, job.id, job.started or job.created) if job else None,
            tuple(self.conditions.get(item.id, ())),
        )


def list_all(ask: Ask) -> Answer:
    """Return the items of a vault or of a container, a page at a time.

    What the page follows from is all in its key: the view by its stamp, and the words of the request.
    """
    container = container_of(ask) if "container" in ask.names else None
    with ask.service.items.viewing(ask.caller, ask.vault) as view:
        key = (view.stamp, container, ask.home, ask.base, ask.path, *chain(*ask.query.items()))
        return Answer(body=ask.desks.pages.made(key, lambda: _page(ask, view, container)))


def _page(ask: Ask, view: View, container: Container | None) -> bytes:
    around = Around.seen(ask, view)
    found = view.items(PAGE, ask.query.get("$skiptoken", ask.query.get("skiptoken", "")))
    shown = (
        _piece(ask, one, around.near(one))
        for one in found
        if is_there(one) and container in (None, around.container(one))
    )
    return joined(ask, shown, found[-1].name if len(found) == PAGE else "")


def _piece(ask: Ask, item: ProtectedItem, near: Near) -> bytes:
    """Return an item as JSON, which is found again by the very arguments that it is made of."""
    home = ask.home
    return ask.desks.pieces.made((home, item, near), lambda: spelled(shape(home, item, near)))


def get(ask: Ask) -> Answer:
    """Return an item."""
    item = found(ask)
    return Answer(body=shape(ask.home, item, Around.of(ask).near(item)))


def is_there(item: ProtectedItem) -> bool:
    """Is an item there to those who ask? What is not protected any more is not."""
    return item.protection is not Protection.UNPROTECTED


def found(ask: Ask) -> ProtectedItem:
    """Return the item that a path names, or raise Missing."""
    container = container_of(ask)
    item = ask.service.items.named(ask.caller, ask.vault, ask.names["item"])
    servers = {one.id: one.fabric for one in ask.service.fabrics.servers(ask.caller, ask.vault)}
    fabric = servers.get(item.route.source, "")
    held = held_by(item, fabric) if fabric or item.mapping else None
    if not is_there(item) or held != container:
        name = ask.names["item"]
        raise Missing(f"{container.name} has no protected item {name}", cure="list what there is")
    return item


def item_id(ask: Ask, container: Container, name: str) -> str:
    """Return the id of an item."""
    return f"{ask.home}/{container_words(container)}/replicationProtectedItems/{name}"


HANDLERS = {
    "replication_protected_items.list": list_all,
    "replication_protected_items.list_by_replication_protection_containers": list_all,
    "replication_protected_items.get": get,
}
