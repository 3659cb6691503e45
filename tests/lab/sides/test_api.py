"""A real guest goes over to another host, asked for by nothing but the official SDK over HTTPS (R-OP-4)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from bascule.apps.vault.api_door import FIRST
from bascule.model.machines import Power
from lab import machines
from lab.machines import Keeping
from lab.servers.vaults import VaultServer
from lab.stage import MACHINE
from lab.waiting import wait_until
from tests.apps.vault.test_api_door import clients
from tests.front.cli.conftest import Desk
from tests.lab.sides.test_vault import end_all, host

pytestmark = pytest.mark.lab

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

    def prepare(self) -> None:
        """Make the vault, its site, and a policy."""
        self.vaults.vaults.begin_create_or_update(*AT, {"location": "onpremises"}).result()
        site = {"properties": {"customDetails": {"instanceType": "HyperVSite"}}}
        self.sdk.replication_fabrics.begin_create(*AT, "paris", site).result()
        settings = {"instanceType": "HyperVReplicaAzure", "replicationInterval": 1}
        policy = {"properties": {"providerSpecificInput": settings}}
        self.sdk.replication_policies.begin_create(*AT, "hva", policy).result()

    def join(self, name: str) -> str:
        """Let a host join by a key of the API, and run; return its id."""
        form = {"grant_type": "client_credentials", "scope": f"{self.said['url']}/.default"}
        form |= {"client_id": self.said["client_id"], "client_secret": self.said["client_secret"]}
        trust: dict[str, Any] = {"verify": self.said["authority"], "timeout": 30}
        url = f"{self.said['url']}/{self.said['tenant']}/oauth2/v2.0/token"
        token = requests.post(url, data=form, **trust).json()["access_token"]
        path = f"{self.said['url']}{self.home()}/replicationFabrics/paris/basculeRegistrationKeys"
        bearer = {"Authorization": f"Bearer {token}"}
        answer = requests.post(path, params=VERSION, json={}, headers=bearer, **trust)
        key = self.desk.path(f"{name}.key")
        key.write_bytes(answer.content)
        folder = self.desk.path(f"p-{name}")
        done = self.desk.ok("provider", "register", key, "--folder", folder, "--name", name, "--json")
        self.hosts[name] = self.desk.start("provider", "run", folder, "--host", self.desk.path(name))
        return str(done.document["host"])

    def machine(self) -> Any:
        """Return the machine that can be protected, once its host has told of it."""
        group = self.sdk.replication_protectable_items
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = group.list_by_replication_protection_containers(*AT, "paris", "paris")
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


@pytest.fixture
def operator(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    desk = Desk(tmp_path_factory.mktemp("v"), capsys)  # sockets of recovered machines need a short path
    desk.init()
    with VaultServer(desk.path("vaults")) as server:
        found = Operator(desk, server)
        yield found
        for process in found.hosts.values():
            process.kill()
            process.communicate()


def test_a_guest_goes_over_to_another_host_by_the_official_sdk(operator: Operator) -> None:
    one, two = host(operator.desk.path("one")), host(operator.desk.path("two"))
    one.define(machines.make(Keeping(MACHINE, disks=1), operator.desk.path("images")))
    one.start(MACHINE)
    with ExitStack() as cleanup:
        cleanup.callback(end_all, operator.desk.folder, one, two)
        operator.prepare()
        operator.join("one")
        recovery = operator.join("two")
        wait_until(lambda: "ledger: acknowledged" in one.console(MACHINE), 60, "the guest to write")
        operator.enable(recovery)
        usual = ["PlannedFailover", "UnplannedFailover", "DisableProtection", "TestFailover"]
        assert operator.stands()[3] == usual
        assert list(operator.sdk.recovery_points.list_by_replication_protected_items(*AT, *ITEM))

        operator.do("test_failover", {"properties": {"networkType": "NoNetworkAttachAsInput"}})
        assert {card.network for card in two.definition(f"{MACHINE}-test").hardware.nics} <= {""}
        assert two.power(f"{MACHINE}-test") is Power.RUNNING
        assert one.power(MACHINE) is Power.RUNNING
        assert operator.stands()[2] == "TestFailoverCompleted"
        operator.do("test_failover_cleanup", {"properties": {"comments": "fine"}})
        assert two.machines() == ()

        required = {"failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "Required"}
        operator.do("unplanned_failover", {"properties": required})
        assert (one.power(MACHINE), two.power(MACHINE)) == (Power.OFF, Power.RUNNING)
        assert operator.tasks("UnplannedFailover")[1] == "VmShutdownVmOnPrimary"
        operator.do("failover_cancel")
        wait_until(lambda: one.power(MACHINE) is Power.RUNNING, 60, "the machine to run at home again")
        assert two.machines() == ()

        operator.hosts["one"].kill()
        one.cut_power(MACHINE)
        operator.do("unplanned_failover", {"properties": {"failoverDirection": "PrimaryToRecovery"}})
        wait_until(lambda: "ledger: up at record" in two.console(MACHINE), 60, "the guest to be up")
        pending = "UnplannedFailoverCommitPendingStatesBegin"
        assert operator.stands() == (pending, "Recovery", "None", ["Commit", "CancelFailover", "ChangePit"])
        operator.do("failover_commit")
        assert operator.stands()[:2] == ("UnplannedFailoverCommitted", "Recovery")
        assert (one.power(MACHINE), two.power(MACHINE)) == (Power.OFF, Power.RUNNING)
        failover = ["VmUfoPrerequisitesCheck", "VmPrepareForUnPlannedFailover", "VmFailover"]
        assert operator.tasks("UnplannedFailover") == [*failover, "VmFoStartVmOnSecondary"]
        assert operator.tasks("CommitFailover") == ["VmCommitPrerequisitesCheck", "VmCommit"]
