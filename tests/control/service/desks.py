"""A server with two vaults, as somebody's session finds it: people with roles, a site with two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.control.service.service import Service, service
from bascule.control.service.sides.fabrics import Entrance
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.drivers.pki.authority import FolderAuthority
from bascule.drivers.sites.fake import FakeSites
from bascule.model.policies import Policy
from bascule.model.vault.access import Caller, Role
from bascule.model.vault.fabric import Server
from bascule.model.vault.route import Route
from bascule.model.vault.vault import Vault
from tests.control.vaults import Node, start

OWNER = Caller("root", is_owner=True)
ANNA, OTTO, RITA = Caller("anna"), Caller("otto"), Caller("rita")
"""A contributor, an operator and a reader of the vault *north*; of *south* they are nothing."""

ROUTE = Route("h1", "one#shop", "h2", "/points", "/key", "daily")


@contextmanager
def desks(folder: Path) -> Iterator[tuple[Service, Node]]:
    """Yield the service of a server, whose jobs run between fake sites."""
    clock, ids = SystemClock(), SystemIds()
    node = start(SqlCatalog(str(folder / "c.db")), FakeSites(folder / "w.db"))
    database = SqliteDatabase(folder / "hosts.db")
    authority = FolderAuthority.make(folder / "pki", clock, ids)
    entrance = Entrance(SqlHosts(database), authority, lambda: ("vault.example:9444",))
    made = service(node.catalog, node.jobs, entrance, node.sites, clock, ids)
    try:
        for caller, role in zip(
            (ANNA, OTTO, RITA), (Role.CONTRIBUTOR, Role.OPERATOR, Role.READER), strict=True
        ):
            made.vaults.assign(OWNER, "north", caller.name, role)
        made.vaults.create(OWNER, Vault("south"))
        made.fabrics.create(ANNA, "north", "site-1")
        made.policies.put(ANNA, "north", "daily", Policy())
        with node.catalog.writing() as books:
            for host in ("h1", "h2"):
                books.servers.add(Server("north", host, "site-1", host, 1.0))
            books.servers.add(Server("south", "h3", "site-3", "h3", 1.0))
        yield made, node
    finally:
        node.stop()
        database.close()
