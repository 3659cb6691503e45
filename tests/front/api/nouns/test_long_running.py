"""Operations that take their time keep one contract, whoever waits for them (R-OP-4): each is asked for here.

202 with both addresses and an interval; a status under the job's name; then what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import requests
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient

from bascule.front.api.nouns.built import HANDLERS
from bascule.front.api.table.operations import Standing, operations, standing
from bascule.model.vault.item import Command
from lab.waiting import wait_until
from tests.control.service.desks import OWNER
from tests.front.api.nouns.test_commands import body
from tests.front.api.serving import Served

pytestmark = pytest.mark.lab

ITEM = "replicationFabrics/site-1/replicationProtectionContainers/site-1/replicationProtectedItems/shop"
OVER, BACK = {"failoverDirection": "PrimaryToRecovery"}, {"failoverDirection": "RecoveryToPrimary"}
HOME = {
    **BACK,
    "providerSpecificDetails": {
        **{"instanceType": "HyperVReplicaAzureFailback", "dataSyncOption": "ForSynchronization"}
    },
}
ITEMS, JOBS = "replication_protected_items", "replication_jobs"
BY_JOBS = {
    f"{ITEMS}.{verb}"
    for verb in (
        *("create", "delete", "purge", "update", "repair_replication"),
        *("test_failover", "test_failover_cleanup", "unplanned_failover", "planned_failover"),
        *("apply_recovery_point", "failover_cancel", "failover_commit", "reprotect"),
    )
}
AT_ONCE = {
    *(f"replication_fabrics.{verb}" for verb in ("create", "delete", "purge", "check_consistency")),
    *("replication_fabrics.migrate_to_aad", "replication_vault_health.refresh"),
    *(f"replication_policies.{verb}" for verb in ("create", "delete", "update")),
    *(f"replication_recovery_plans.{verb}" for verb in ("create", "delete", "update")),
    *(f"{JOBS}.{verb}" for verb in ("cancel", "restart", "resume", "export")),
    *(f"replication_protection_containers.{verb}" for verb in ("create", "delete")),
    *(
        f"replication_protection_container_mappings.{verb}"
        for verb in ("create", "delete", "purge", "update")
    ),
    *(f"replication_recovery_services_providers.{verb}" for verb in ("delete", "purge", "refresh_provider")),
    *("replication_vault_setting.create", f"{ITEMS}.resolve_health_errors"),
}
"""What the SDK waits for, and what is done here before it is answered."""


class Caller:
    """Asks for operations of one machine, and holds each answer against the contract."""

    def __init__(self, server: Served) -> None:
        self.server = server

    def begin(self, verb: str, said: object = None, method: str = "POST") -> str:
        """Begin an operation; return the job's name."""
        path = f"{self.server.home()}/{ITEM}{verb and '/'}{verb}"
        answer = self._traced(self.server.ask(path, method, json=said))
        assert (answer.status_code, answer.content) == (202, b"")
        assert int(answer.headers["Retry-After"]) >= 1
        self.status, self.result = answer.headers["Azure-AsyncOperation"], answer.headers["Location"]
        for url in (self.status, self.result):
            assert url.startswith(f"{self.server.base}/subscriptions/")
            assert "api-version=" in url
        name = self.status.split("/replicationOperationStatus/")[1].split("?")[0]
        assert self.result.split("/operationresults/")[1].split("?")[0] == name
        return name

    def ended(self, name: str) -> Mapping[str, Any]:
        """Return the status at the end of an operation."""
        found: list[Mapping[str, Any]] = []

        def is_over() -> bool:
            answer = self._traced(self._get(self.status))
            found[:] = [answer.json()]
            (said,) = found
            assert (answer.status_code, said["name"]) == (200, name)
            assert datetime.fromisoformat(said["startTime"])
            is_going = said["status"] == "InProgress"
            assert ("Retry-After" in answer.headers, said["endTime"] is None) == (is_going, is_going)
            return not is_going

        wait_until(is_over, 30, f"the end of {name}")
        job = self.server.ask(f"{self.server.home()}/replicationJobs/{name}").json()
        assert job["name"] == name
        return found[0]

    def done(self, verb: str, said: object = None, method: str = "POST", gone: bool = False) -> None:
        """Have an operation succeed, and see what came of it."""
        status = self.ended(self.begin(verb, said, method))
        assert (status["status"], status["error"]) == ("Succeeded", None), verb
        answer = self._traced(self._get(self.result))
        assert answer.status_code == (204 if gone else 200), verb
        assert gone or answer.json()["name"] == "shop"
        self.server.node.settled()

    def ask(self, path: str, said: object = None) -> None:
        answer = self._traced(self.server.ask(f"{self.server.home()}/{path}", "POST", json=said))
        assert answer.status_code == 200
        assert not {"Azure-AsyncOperation", "Location"} & answer.headers.keys()

    def asks_somebody(self, name: str) -> None:
        """Wait until a job asks a person; its operation goes on meanwhile."""
        path = f"{self.server.home()}/replicationJobs/{name}"

        def state() -> str:
            return str(self.server.ask(path).json()["properties"]["state"])

        wait_until(lambda: state() == "Suspended", 30, "the question")
        assert self._get(self.status).json()["status"] == "InProgress"

    def _get(self, url: str) -> requests.Response:
        return self.server.ask(url.removeprefix(self.server.base), params=None)

    @staticmethod
    def _traced(answer: requests.Response) -> requests.Response:
        assert UUID(answer.headers["x-ms-correlation-request-id"])
        assert UUID(answer.headers["x-ms-request-id"])
        return answer


@pytest.fixture
def caller(server: Served) -> Iterator[Caller]:
    yield Caller(server)
    server.node.settled()
    for item in server.service.items.list(OWNER, "north"):
        for command in (Command.CLEAN_UP, Command.CANCEL, Command.DISABLE):
            server.try_to(item.id, command)


def within(properties: Mapping[str, object]) -> Mapping[str, object]:
    return {"properties": properties}


def test_each_operation_that_the_sdk_waits_for_is_a_job_or_done_at_once() -> None:
    client = SiteRecoveryManagementClient(object(), "s")
    waited = {
        f"{group}.{verb.removeprefix('begin_')}"
        for group, found in vars(client).items()
        for verb in dir(found)
        if verb.startswith("begin_")
    }
    works = {one.name for one in operations() if standing(one, HANDLERS) is Standing.WORKS}
    assert waited & works == BY_JOBS | AT_ONCE
    assert not BY_JOBS & AT_ONCE


def test_over_and_back_every_answer_is_as_clients_expect(server: Served, caller: Caller) -> None:
    caller.done("", body(server), "PUT")
    caller.done("", within({"recoveryAzureVMName": "shop-over-there"}), "PATCH")
    caller.done("repairReplication")
    caller.ask(f"{ITEM}/resolveHealthErrors", within({"healthErrors": []}))
    caller.done("testFailover", within({**OVER, "networkType": "NoNetworkAttachAsInput"}))
    caller.done("testFailoverCleanup", within({"comments": "fine"}))
    caller.done("unplannedFailover", within(OVER))
    point = server.ask(f"{server.home()}/{ITEM}/recoveryPoints").json()["value"][0]
    caller.done("applyRecoveryPoint", within({"recoveryPointId": point["id"]}))
    caller.done("failoverCancel")
    caller.done("plannedFailover", within(OVER))
    caller.done("failoverCommit")
    caller.done("reProtect", within(BACK))
    name = caller.begin("plannedFailover", within(HOME))
    caller.asks_somebody(name)
    caller.ask(f"replicationJobs/{name}/resume", within({"comments": "yes"}))
    assert caller.ended(name)["status"] == "Succeeded"
    caller.done("failoverCommit")
    caller.done("", within({"disableProtectionReason": "NotSpecified"}), "DELETE", gone=True)


def test_an_operation_that_fails_says_why_and_one_that_was_cancelled_that_it_was(
    server: Served, caller: Caller
) -> None:
    caller.done("", body(server), "PUT")
    server.node.sites.fail("start failover", "refused", "no memory")
    name = caller.begin("unplannedFailover", within(OVER))
    failed = caller.ended(name)
    assert (failed["status"], failed["error"]["code"]) == ("Failed", "Refused")
    assert "no memory" in failed["error"]["message"]
    server.node.sites.fail("start failover")
    caller.ask(f"replicationJobs/{name}/restart")
    assert caller.ended(name)["status"] == "Succeeded"
    server.node.settled()
    caller.done("failoverCommit")
    caller.done("reProtect", within(BACK))
    name = caller.begin("plannedFailover", within(HOME))
    caller.asks_somebody(name)
    caller.ask(f"replicationJobs/{name}/cancel")
    cancelled = caller.ended(name)
    assert (cancelled["status"], cancelled["error"]["code"]) == ("Canceled", "Cancelled")
    server.node.settled()
    caller.done("remove", within({"disableProtectionReason": "NotSpecified"}), gone=True)
