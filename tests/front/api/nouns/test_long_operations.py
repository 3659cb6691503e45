"""What is promised of every operation that takes its time, held against each that works here (R-OP-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from bascule.apps.chance import SystemClock
from bascule.drivers.hosts.hosts import SqlHosts
from bascule.drivers.hosts.sqlite import SqliteDatabase
from bascule.front.api.nouns.built import HANDLERS
from bascule.front.api.table.operations import Standing, operations, standing
from bascule.model.vault.fabric import Server
from bascule.ports.vault.hosts import Claim
from lab.waiting import wait_until
from tests.contracts.hosts import certificate, digest
from tests.control.service.desks import OWNER
from tests.front.api.nouns.machines.test_plans import asked as plan
from tests.front.api.nouns.sides.test_mappings import asked as mapping
from tests.front.api.nouns.test_commands import body as machine
from tests.front.api.nouns.test_commands import client
from tests.front.api.serving import Served
from tests.front.api.table.test_operations import calls

__all__ = ["client"]  # a fixture
pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("client")]

ITEMS, C = "replication_protected_items", "replication_protection_containers"
M = "replication_protection_container_mappings"
F, H, J = "replication_fabrics", "replication_recovery_services_providers", "replication_jobs"
P, R = "replication_policies", "replication_recovery_plans"
AZURE = {"instanceType": "HyperVReplicaAzure"}
BACK = {"instanceType": "HyperVReplicaAzureFailback", "dataSyncOption": "ForSynchronization"}
OVER = {"failoverDirection": "PrimaryToRecovery"}
HOME = {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": BACK}
SITE = {"customDetails": {"instanceType": "HyperVSite"}}
POLICY = {"providerSpecificInput": {**AZURE, "recoveryPointHistoryDuration": 2}}
BY_JOBS = (
    (f"{ITEMS}.create", None),
    (f"{ITEMS}.update", {"recoveryAzureVMName": "shop-dr"}),
    (f"{ITEMS}.test_failover", {**OVER, "networkType": "NoNetworkAttachAsInput"}),
    (f"{ITEMS}.test_failover_cleanup", {"comments": "fine"}),
    (f"{ITEMS}.repair_replication", None),
    (f"{ITEMS}.unplanned_failover", OVER),
    (f"{ITEMS}.apply_recovery_point", {}),
    (f"{ITEMS}.failover_cancel", None),
    (f"{ITEMS}.planned_failover", {**OVER, "providerSpecificDetails": AZURE}),
    (f"{ITEMS}.failover_commit", None),
    (f"{ITEMS}.reprotect", OVER),
    (f"{ITEMS}.delete", {"disableProtectionReason": "NotSpecified"}),
    (f"{ITEMS}.create", None),
    (f"{ITEMS}.purge", None),
)
"""A machine's life, in an order in which each is allowed."""
AT_ONCE = (
    (f"{ITEMS}.resolve_health_errors", {"healthErrors": []}, {}),
    (f"{F}.create", SITE, {"fabric": "site-9"}),
    (f"{F}.check_consistency", None, {"fabric": "site-9"}),
    (f"{F}.migrate_to_aad", None, {"fabric": "site-9"}),
    (f"{F}.delete", None, {"fabric": "site-9"}),
    (f"{F}.create", SITE, {"fabric": "site-9"}),
    (f"{F}.purge", None, {"fabric": "site-9"}),
    (f"{C}.create", {}, {"container": "cloud_S"}),
    (f"{C}.delete", None, {"container": "cloud_S"}),
    (f"{M}.create", None, {}),
    (f"{M}.update", {"providerSpecificInput": AZURE}, {}),
    (f"{M}.delete", {"providerSpecificInput": AZURE}, {}),
    (f"{M}.create", None, {}),
    (f"{M}.purge", None, {}),
    (f"{P}.create", POLICY, {}),
    (f"{P}.update", {"replicationProviderSettings": AZURE}, {}),
    (f"{P}.delete", None, {}),
    (f"{R}.create", None, {}),
    (f"{R}.update", {}, {}),
    (f"{R}.delete", None, {}),
    ("replication_vault_setting.create", {}, {"setting": "default"}),
    ("replication_vault_health.refresh", None, {}),
    (f"{H}.refresh_provider", None, {}),
    (f"{J}.export", {}, {}),
    ("vaults.create_or_update", {}, {"vault": "east"}),
    ("vaults.update", {}, {"vault": "east"}),
    ("vaults.delete", None, {"vault": "east"}),
    (f"{H}.delete", None, {"server": "h7"}),
    (f"{H}.purge", None, {"server": "h8"}),
)
"""What has ended when it is answered."""
OF_JOBS = {f"{J}.cancel", f"{J}.restart", f"{J}.resume"}
NAMES = {
    **{"group": "rg", "vault": "north", "fabric": "site-1", "container": "site-1", "item": "shop"},
    **{"mapping": "map1", "policy": "hva", "plan": "plan1", "server": "h1"},
}
MARKS = {"x-ms-correlation-request-id": "c-7", "x-ms-client-request-id": "q-7"}


@dataclass(frozen=True)
class Waiting:
    """An operation that was begun."""

    server: Served
    name: str
    status: str
    location: str

    def says(self) -> Mapping[str, Any]:
        answer = marked(self.server.ask(self.status, params=None, headers=MARKS))
        assert answer.status_code == 200
        said: Mapping[str, Any] = answer.json()
        assert {"id", "name", "status", "startTime", "endTime", "error"} <= said.keys()
        assert said["name"] == self.name
        datetime.fromisoformat(said["startTime"])
        is_over = said["status"] != "InProgress"
        assert (said["endTime"] is not None) is is_over
        assert is_over or int(answer.headers["Retry-After"]) >= 1
        assert (said["error"] is not None) is (said["status"] in ("Failed", "Canceled"))
        return said

    def ends(self) -> Mapping[str, Any]:
        wait_until(lambda: self.says()["status"] != "InProgress", 60, "the operation's end")
        return self.says()

    def result(self) -> requests.Response:
        return marked(self.server.ask(self.location, params=None, headers=MARKS))

    def job(self) -> Mapping[str, Any]:
        found = marked(self.server.ask(f"{self.server.home()}/replicationJobs/{self.name}", headers=MARKS))
        said: Mapping[str, Any] = found.json()
        assert said["name"] == self.name
        return said


def marked(answer: requests.Response) -> requests.Response:
    """Return an answer that has all ids by which it is found again."""
    assert answer.headers["x-ms-request-id"] not in ("", "c-7"), answer.url
    assert {name: answer.headers[name] for name in MARKS} == MARKS, answer.url
    return answer


def ask(server: Served, name: str, document: object, names: Mapping[str, str]) -> requests.Response:
    (operation,) = [one for one in operations() if one.name == name]
    path = operation.path.format(**{**NAMES, "subscription": server.identity.server, **names})
    said = {} if document is None else {"json": document}
    return marked(server.ask(path, operation.method, headers=MARKS, **said))


def begin(server: Served, name: str, properties: Mapping[str, object] | None) -> Waiting:
    """Begin an operation on the machine, and hold what is answered against the promise."""
    document = machine(server) if name == f"{ITEMS}.create" else properties and {"properties": properties}
    answer = ask(server, name, document, {})
    assert (answer.status_code, answer.content) == (202, b""), (name, answer.text)
    assert int(answer.headers["Retry-After"]) >= 1
    status, location = answer.headers["Azure-AsyncOperation"], answer.headers["Location"]
    assert status.startswith(f"{server.base}{server.home()}/replicationOperationStatus/")
    assert location.startswith(f"{server.base}{server.home()}/")
    id = status.rpartition("/")[2].partition("?")[0]
    assert location.rpartition("/")[2].partition("?")[0] == id
    return Waiting(server, id, status.removeprefix(server.base), location.removeprefix(server.base))


def point(server: Served) -> str:
    found = server.ask(f"{item_path(server)}/recoveryPoints").json()
    return str(found["value"][0]["id"])


def item_path(server: Served) -> str:
    container = f"{server.home()}/replicationFabrics/site-1/replicationProtectionContainers/site-1"
    return f"{container}/replicationProtectedItems/shop"


def test_no_operation_that_takes_its_time_is_left_out() -> None:
    long = {name for name, call in calls() if call.__name__.startswith("begin_")}
    working = {one.name for one in operations() if standing(one, HANDLERS) is Standing.WORKS}
    held = {name for name, _ in BY_JOBS} | {name for name, _, _ in AT_ONCE} | OF_JOBS
    assert held == long & working


def test_a_command_is_accepted_waited_for_and_ends_with_what_came_of_it(server: Served) -> None:
    for name, properties in BY_JOBS:
        said = {"recoveryPointId": point(server)} if name.endswith("apply_recovery_point") else properties
        begun = begin(server, name, said)
        assert begun.ends()["status"] == "Succeeded", name
        result = begun.result()
        if name in (f"{ITEMS}.delete", f"{ITEMS}.purge"):
            assert (result.status_code, result.content) == (204, b""), name
            assert server.ask(item_path(server)).status_code == 404
        else:
            for found in (result, marked(server.ask(item_path(server), headers=MARKS))):
                assert (found.status_code, found.json()["name"]) == (200, "shop"), name
        assert begun.job()["properties"]["state"] == "Succeeded"
        server.node.settled()


def test_a_command_that_fails_or_is_cancelled_says_so_wherever_it_is_asked(server: Served) -> None:
    begin(server, f"{ITEMS}.create", None).ends()
    server.node.settled()
    server.node.sites.fail("start failover", "refused", "no memory")
    failed = begin(server, f"{ITEMS}.unplanned_failover", OVER)
    said = failed.ends()
    assert (said["status"], said["error"]["code"]) == ("Failed", "Refused")
    assert "no memory" in said["error"]["message"]
    refused = failed.result()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "Refused")
    server.node.sites.fail("start failover")
    restarted = ask(server, f"{J}.restart", None, {"job": failed.name})
    assert (restarted.status_code, restarted.json()["name"]) == (200, failed.name)
    assert failed.ends()["status"] == "Succeeded"
    begin(server, f"{ITEMS}.failover_commit", None).ends()
    begin(server, f"{ITEMS}.reprotect", OVER).ends()
    server.node.settled()
    cancelled = asking(server)
    assert ask(server, f"{J}.cancel", None, {"job": cancelled.name}).status_code == 200
    assert cancelled.ends()["status"] == "Canceled"
    assert cancelled.result().status_code == 400
    assert cancelled.job()["properties"]["state"] == "Cancelled"
    server.node.settled()
    resumed = asking(server)
    answer = {"properties": {"comments": "yes"}}
    assert ask(server, f"{J}.resume", answer, {"job": resumed.name}).status_code == 200
    assert resumed.ends()["status"] == "Succeeded"
    begin(server, f"{ITEMS}.failover_commit", None).ends()
    begin(server, f"{ITEMS}.delete", {"disableProtectionReason": "NotSpecified"}).ends()


def asking(server: Served) -> Waiting:
    """Begin to come home, and return what waits for a person."""
    begun = begin(server, f"{ITEMS}.planned_failover", HOME)
    wait_until(lambda: begun.job()["properties"]["state"] == "Suspended", 60, "the question")
    assert begun.says()["status"] == "InProgress"
    return begun


def join(server: Served, *hosts: str) -> None:
    """Let hosts in by a key of the site, as the door does."""
    invitation = server.service.fabrics.invite(OWNER, "north", "site-1", 60.0)
    database = SqliteDatabase(Path(str(server.node.catalog.engine.url.database)).with_name("hosts.db"))
    for host in hosts:
        claim = Claim(host, host, invitation.key, digest(invitation.secret))
        SqlHosts(database).register(claim, certificate(host, host), SystemClock().now())
        with server.node.catalog.writing() as books:
            books.servers.add(Server("north", host, "site-1", host, 1.0))
    database.close()


def document_of(server: Served, name: str, properties: Mapping[str, object] | None) -> object:
    if name == f"{R}.create":
        return plan(server)
    if name == f"{M}.create":
        return mapping(server)
    if name.startswith("vaults."):
        return {"location": "here", "sku": {"name": "Standard"}}
    return None if properties is None else {"properties": properties}


def test_what_is_done_at_once_has_nothing_to_wait_for(server: Served) -> None:
    begin(server, f"{ITEMS}.create", None).ends()
    server.node.settled()
    join(server, "h7", "h8")
    for name, properties, names in AT_ONCE:
        answer = ask(server, name, document_of(server, name, properties), names)
        assert answer.status_code in (200, 201, 204), (name, answer.text)
        assert not {"Azure-AsyncOperation", "Location", "Retry-After"} & answer.headers.keys(), name
        assert (answer.status_code == 204) is (answer.content == b""), name
