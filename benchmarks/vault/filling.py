"""A catalog with so many vaults, items and events, written past the books: they would take their time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.catalog.documents import text_of
from bascule.drivers.catalog.tables import EVENTS, ITEMS
from bascule.model.policies import Policy
from bascule.model.vault.fabric import Fabric, ReplicationPolicy, Server
from bascule.model.vault.item import ProtectedItem, Protection
from bascule.model.vault.route import Route
from bascule.model.vault.vault import Vault

_BATCH = 10_000


@dataclass(frozen=True)
class Size:
    """How much there is of everything."""

    vaults: int
    items: int
    hosts: int
    events: int


def vault_of(number: int, size: Size) -> str:
    """Return the vault that the item or host of a number is in."""
    return f"vault-{number % size.vaults:04}"


def item_id(number: int) -> str:
    """Return the id of an item."""
    return f"machine-{number:06}"


def fill(place: Path, size: Size, hosts: tuple[str, ...]) -> None:
    """Make a catalog. An item's source is the host of its number, and is in its vault."""
    catalog = SqlCatalog(str(place))
    with catalog.writing() as books:
        for number in range(size.vaults):
            name = vault_of(number, size)
            books.vaults.add(Vault(name))
            books.policies.add(ReplicationPolicy(name, "daily", Policy()))
            books.fabrics.add(Fabric(name, "site"))
        for number, host in enumerate(hosts):
            books.servers.add(Server(vault_of(number, size), host, "site", host, time.time()))
    with catalog.engine.begin() as connection:
        _insert(connection, ITEMS, _items(size, hosts))
        _insert(connection, EVENTS, _events(size))
    catalog.close()


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, object]]) -> None:
    batch: list[dict[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            connection.execute(sa.insert(table), batch)
            batch = []
    if batch:
        connection.execute(sa.insert(table), batch)


def _items(size: Size, hosts: tuple[str, ...]) -> Iterator[dict[str, object]]:
    for number in range(size.items):
        source = hosts[number % len(hosts)] if hosts else "h"
        route = Route(source, f"one#{number}", source, "/points", "/key", "daily")
        vault, id = vault_of(number, size), item_id(number)
        item = ProtectedItem(id, vault, f"Machine {number}", Protection.PROTECTED, route=route)
        yield {"vault": vault, "id": id, "name": item.name, "version": 0, "document": text_of(item)}


def _events(size: Size) -> Iterator[dict[str, object]]:
    words = {"code": "153007", "health": "critical", "message": "no new recovery point", "cure": "look"}
    for number in range(size.events):
        yield {
            "vault": vault_of(number, size),
            "at": float(number),
            "subject": item_id(number % 1000),
            **words,
        }
