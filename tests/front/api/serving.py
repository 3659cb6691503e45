"""The API of a server with two vaults, over HTTPS on the loopback, and the official clients of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests
import uvicorn
from azure.identity import ClientSecretCredential, aio
from azure.mgmt.recoveryservices import RecoveryServicesClient

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.vault.api_door import desks_of
from bascule.apps.vault.listener import Entrance, config
from bascule.control.service.people.identity import IdentityDesk, Made
from bascule.control.service.people.users import UserDesk
from bascule.control.service.service import Service
from bascule.drivers.hosts.principals import SqlPrincipals
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.front.api.app import application
from bascule.front.api.errors import TurnedAway
from bascule.model.vault.fabric import ProtectableItem
from bascule.model.vault.item import Command
from lab.waiting import wait_until
from tests.control.service.desks import OWNER, desks
from tests.control.vaults import Node
from tests.front.api import certificates
from tests.front.api.sdks import NEWEST, Client, client

VERSION = "2025-08-01"


@dataclass
class Served:
    """A server that answers."""

    base: str
    authority: str
    service: Service
    identity: IdentityDesk
    users: UserDesk
    principals: SqlPrincipals
    node: Node
    people: Mapping[str, Made]
    tokens: dict[str, str] = field(default_factory=dict)

    def credential(self, name: str = "root", kind: type = ClientSecretCredential) -> Any:
        made = self.people[name]
        return kind(
            self.identity.server,
            made.principal.id,
            made.secret,
            authority=self.base,
            disable_instance_discovery=True,
            connection_verify=self.authority,
        )

    def recovery(
        self, name: str = "root", group: str = "rg", vault: str = "north", sdk: str = NEWEST
    ) -> Client:
        kind = aio.ClientSecretCredential if sdk.endswith("aio") else ClientSecretCredential
        usual = {
            "base_url": self.base,
            "credential_scopes": [f"{self.base}/.default"],
            "connection_verify": self.authority,
            "polling_interval": 1,
        }
        return client(sdk, self.credential(name, kind), self.identity.server, (group, vault), usual)

    def vaults(self, name: str = "root") -> RecoveryServicesClient:
        return RecoveryServicesClient(
            self.credential(name),
            self.identity.server,
            base_url=self.base,
            credential_scopes=[f"{self.base}/.default"],
            connection_verify=self.authority,
            polling_interval=1,
        )

    def token(self, name: str = "root") -> str:
        made = self.people[name]
        if name not in self.tokens:
            self.tokens[name] = self.identity.sign_in(made.principal.id, made.secret).text
        return self.tokens[name]

    def try_to(self, item: str, command: Command) -> None:
        """Give an item a command if it allows it, and wait for the end."""
        if command in self.service.items.get(OWNER, "north", item).allowed():
            self.service.items.command(OWNER, "north", item, command)
            self.node.settled()

    def home(self, vault: str = "north") -> str:
        group = f"/subscriptions/{self.identity.server}/resourceGroups/rg"
        return f"{group}/providers/Microsoft.RecoveryServices/vaults/{vault}"

    def ask(
        self,
        path: str,
        method: str = "GET",
        name: str = "root",
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> requests.Response:
        """Return the answer to a request as it is, by a caller with a token."""
        said = {"Authorization": f"Bearer {self.token(name)}", **(headers or {})}
        params = more.pop("params", {"api-version": VERSION})
        return requests.request(
            method, self.base + path, headers=said, verify=self.authority, params=params, timeout=30, **more
        )


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve, and stop serving."""
    clock, ids = SystemClock(), SystemIds()
    certificate, key = certificates.make(folder)
    with desks(folder) as (service, node):
        database = SqliteDatabase(folder / "hosts.sqlite")
        principals = SqlPrincipals(database, ids)
        stood = desks_of(service, database, clock, ids)
        identity = stood.identity
        people = {name: identity.create(OWNER, name) for name in ("anna", "otto", "rita", "nemo")}
        people["root"] = identity.create(OWNER, "root", is_owner=True)
        with node.catalog.writing() as books:
            for machine in ("one#shop", "one#till"):
                books.protectable.add(ProtectableItem("north", f"h1/{machine}", "site-1", "h1", machine))
            for vault in books.vaults.list():
                books.vaults.save(replace(vault, group="rg"))
        refused: list[TurnedAway] = []
        sock = Entrance(socket.create_server(("127.0.0.1", 0)), refused.append)
        base = f"https://127.0.0.1:{sock.getsockname()[1]}"
        server = uvicorn.Server(config(application(stood, ids), certificate, key, refused.append))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            wait_until(lambda: server.started, 30, "the server's start")
            yield Served(base, str(certificate), service, identity, stood.users, principals, node, people)
        finally:
            server.should_exit = True
            thread.join()
            sock.close()
            database.close()
