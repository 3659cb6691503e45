"""An operator of a server of vaults with real hosts, who has the SDK and the file of the first principal."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import requests

from bascule.apps.vault.api_door import FIRST
from lab.servers.vaults import VaultServer
from lab.waiting import wait_until
from tests.apps.vault.test_api_door import clients
from tests.front.cli.conftest import Desk

AT = ("rg", "north")
ITEM = ("paris", "paris", "shop")
VERSION = {"api-version": "2025-08-01"}


class Operator:
    """An operator who has the file of the first principal, and the SDK."""

    def __init__(self, desk: Desk, server: VaultServer) -> None:
        self.desk = desk
        self.said = json.loads((server.folder / FIRST).read_text())
        self.vaults, self.sdk = clients(self.said)
        self.hosts: dict[str, subprocess.Popen[str]] = {}
        self.items = self.sdk.replication_protected_items

    def home(self) -> str:
        group = f"/subscriptions/{self.said['subscription']}/resourceGroups/rg"
        return f"{group}/providers/Microsoft.RecoveryServices/vaults/north"

    def make_vault(self) -> None:
        self.vaults.vaults.begin_create_or_update(*AT, {"location": "onpremises"}).result()

    def prepare(self) -> None:
        """Make the vault, its site, and a policy."""
        self.make_vault()
        site = {"properties": {"customDetails": {"instanceType": "HyperVSite"}}}
        self.sdk.replication_fabrics.begin_create(*AT, "paris", site).result()
        settings = {"instanceType": "HyperVReplicaAzure", "replicationInterval": 1}
        policy = {"properties": {"providerSpecificInput": settings}}
        self.sdk.replication_policies.begin_create(*AT, "hva", policy).result()

    def ask(self, method: str, path: str, body: object) -> bytes:
        """Ask for what is no operation of the SDK's, somewhere in the vault."""
        form = {"grant_type": "client_credentials", "scope": f"{self.said['url']}/.default"}
        form |= {"client_id": self.said["client_id"], "client_secret": self.said["client_secret"]}
        trust: dict[str, Any] = {"verify": self.said["authority"], "timeout": 30}
        url = f"{self.said['url']}/{self.said['tenant']}/oauth2/v2.0/token"
        token = requests.post(url, data=form, **trust).json()["access_token"]
        url, bearer = f"{self.said['url']}{self.home()}/{path}", {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, url, params=VERSION, json=body, headers=bearer, **trust)
        answer.raise_for_status()
        return answer.content

    def join(self, name: str, site: str = "paris") -> str:
        """Let a host join by a key of the API, and run; return its id."""
        key = self.desk.path(f"{name}.key")
        key.write_bytes(self.ask("POST", f"replicationFabrics/{site}/basculeRegistrationKeys", {}))
        folder = self.desk.path(f"p-{name}")
        done = self.desk.ok("provider", "register", key, "--folder", folder, "--name", name, "--json")
        self.hosts[name] = self.desk.start("provider", "run", folder, "--host", self.desk.path(name))
        return str(done.document["host"])

    def machine(self, site: str = "paris") -> Any:
        """Return the machine that can be protected, once its host has told of it."""
        group = self.sdk.replication_protectable_items
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = group.list_by_replication_protection_containers(*AT, site, site)
            return bool(found)

        wait_until(is_there, 60, "a machine that can be protected")
        return found[0]

    def enable(self, recovery: str) -> None:
        """Protect the machine, and wait until its first copy is there."""
        server = f"{self.home()}/replicationFabrics/paris/replicationRecoveryServicesProviders/{recovery}"
        ours = {"recoveryServicesProviderId": server, "keyFile": str(self.desk.path("main.key"))}
        details = {"instanceType": "HyperVReplicaAzure", "targetStorageAccountId": self.desk.store}
        asked = {
            "policyId": f"{self.home()}/replicationPolicies/hva",
            "protectableItemId": self.machine().id,
            "providerSpecificDetails": {**details, "bascule": ours},
        }
        begun = self.items.begin_create(*AT, *ITEM, {"properties": asked}).result()
        assert begun.properties.protection_state in ("UnprotectedStatesBegin", "Protected")
        wait_until(self.is_protected, 120, "protection")

    def is_protected(self) -> bool:
        failed = list(self.sdk.replication_jobs.list(*AT, filter="JobStatus eq 'Failed'"))
        assert not failed, failed[0].properties.errors
        return self.stands()[0] == "Protected"

    def do(self, verb: str, *body: dict[str, Any]) -> Any:
        """Give a command and wait for its end."""
        return getattr(self.items, f"begin_{verb}")(*AT, *ITEM, *body).result()

    def stands(self) -> tuple[str, str, str, list[str]]:
        said = self.items.get(*AT, *ITEM).properties
        test, allowed = said.test_failover_state, said.allowed_operations
        return said.protection_state, said.active_location, test, allowed

    def tasks(self, scenario: str) -> list[str]:
        """Return the tasks of the last job of a scenario."""
        jobs = self.sdk.replication_jobs.list(*AT, filter=f"JobName eq '{scenario}'")
        return [task.name for task in next(iter(jobs)).properties.tasks]
