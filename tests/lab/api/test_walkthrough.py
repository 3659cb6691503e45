"""A real guest goes to another host and comes home, by nothing but what scripts send to Azure (R-OP-4).

The bodies are the recorded ones. What Azure has no word for is said once: which host takes over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from azure.identity import ClientSecretCredential, aio

from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.machines import Nic, Power
from lab import ledger, machines
from lab.ledger import Bounds
from lab.machines import Keeping
from lab.waiting import wait_until
from tests.front.api import sdks
from tests.front.api.scripts import Script
from tests.lab.api.operators import AT, Operator
from tests.lab.sides.test_vault import end_all, host

# Two and a half minutes each; the same script between fake hosts, and one of ours with a guest, are quick.
pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

NAME = "hv1"
USUAL = ["PlannedFailover", "UnplannedFailover", "DisableProtection", "TestFailover"]
PENDING = ["Commit", "CancelFailover", "ChangePit"]
AWAY = ["DisableProtection", "ReverseReplicate", "Failback"]
OVER = ["VmPfoPrerequisitesCheck", "VmShutdownVmOnPrimary", "VmFailover", "VmFoStartVmOnSecondary"]
LOST = ["VmUfoPrerequisitesCheck", "VmShutdownVmOnPrimary", "VmPrepareForUnPlannedFailover", *OVER[2:]]
COMMIT = ["VmCommitPrerequisitesCheck", "VmCommit"]


class Walk:
    """A script, and three hosts of its site: the machine's, another one, and the one that takes over."""

    def __init__(self, operator: Operator, script: Script) -> None:
        self.operator, self.script = operator, script
        self.one, self.two, self.three = (host(operator.desk.path(name)) for name in ("one", "two", "three"))

    @property
    def hosts(self) -> tuple[QemuHost, QemuHost, QemuHost]:
        return self.one, self.two, self.three

    def power_on(self) -> None:
        """Have a machine that keeps a ledger run on the first host."""
        for name in ("one", "two", "three"):
            networks = {"version": 1, "networks": {"vnet": {"kind": "user"}}}
            self.operator.desk.path(name).mkdir()
            (self.operator.desk.path(name) / "networks.json").write_text(json.dumps(networks))
        card = (Nic("lan", "vnet"),)
        self.one.define(machines.make(Keeping(NAME, disks=1, nics=card), self.operator.desk.path("images")))
        self.one.start(NAME)
        wait_until(lambda: "ledger: acknowledged" in self.one.console(NAME), 60, "the guest to write")

    def join(self) -> None:
        """Let the hosts join the site, and say which of them takes over."""
        _, other, recovery = (self.operator.join(name, "site1") for name in ("one", "two", "three"))
        places = "replicationFabrics/site1/replicationRecoveryServicesProviders"
        self.script.placeholders[f"{places}/P2"] = f"{places}/{other}"
        sdk = self.operator.sdk.replication_recovery_services_providers
        listed = sdk.list_by_replication_fabrics
        wait_until(lambda: len(list(listed(*AT, "site1"))) == len(self.hosts), 60, "the hosts to be heard of")
        target = {
            "recoveryServicesProviderId": f"{self.operator.home()}/{places}/{recovery}",
            **{"store": self.operator.desk.store, "keyFile": str(self.operator.desk.path("main.key"))},
        }
        self.operator.ask("PUT", "basculeRecoverySettings", {"properties": target})

    def runs_on(self, where: QemuHost) -> None:
        """See that the machine runs here and nowhere else, and that its ledger goes on."""
        wait_until(lambda: where.power(NAME) is Power.RUNNING, 60, "the machine to run")
        others = [each for each in self.hosts if each is not where and NAME in each.machines()]
        assert Power.RUNNING not in [each.power(NAME) for each in others]
        wait_until(lambda: ", life" in where.console(NAME), 60, "the guest to be up")

    def nothing_lost(self, left: QemuHost, came: QemuHost) -> None:
        """See that the ledger went on at the record with which it was closed."""
        self.runs_on(came)
        assert record("up", came) == record("closed", left)

    def is_protected(self) -> bool:
        return self.script.stands()[0] == "Protected"


def record(when: str, where: QemuHost) -> int:
    return int(re.findall(rf"ledger: {when} at record (\d+)\D", where.console(NAME))[-1])


@pytest.fixture
def walk(operator: Operator, request: pytest.FixtureRequest) -> Iterator[Walk]:
    """Somebody with a script that signs in by an SDK, whichever the test names."""
    kind, said = request.param, operator.said
    credential = (aio.ClientSecretCredential if kind.endswith("aio") else ClientSecretCredential)(
        *(said["tenant"], said["client_id"], said["client_secret"]),
        **{"authority": said["url"], "disable_instance_discovery": True},
        connection_verify=said["authority"],
    )
    usual = {
        **{"base_url": said["url"], "credential_scopes": [f"{said['url']}/.default"]},
        **{"connection_verify": said["authority"], "polling_interval": 1},
    }
    with closing(sdks.client(kind, credential, said["subscription"], AT, usual)) as client:
        names = {"SUB": said["subscription"], "/vaults/v1": "/vaults/north"}
        walk = Walk(operator, Script(client, names))
        yield walk
        end_all(operator.desk.folder, *walk.hosts)


def protect(walk: Walk) -> None:
    """Steps 37 to 44."""
    script = walk.script
    walk.operator.make_vault()
    walk.power_on()
    script.prepare()
    walk.join()
    walk.operator.machine("site1")
    script.find()

    script.do("create", "enable")
    assert script.last()[:2] == ("EnableDr", "Succeeded")
    wait_until(walk.is_protected, 120, "protection")
    assert script.says() == ("Protected", "Primary", USUAL)
    assert script.job("AffectedObjectTypes eq 'ProtectionEntity'").properties.scenario_name == "IrCompletion"
    script.do("repair_replication")
    assert script.last()[:2] == ("RepairReplication", "Succeeded")


def go_over(walk: Walk) -> None:
    """Steps 45 to 49."""
    script = walk.script
    script.do("planned_failover", "planned")
    assert script.says() == ("PlannedFailoverCommitRequired", "Recovery", PENDING)
    assert script.last() == ("PlannedFailover", "Succeeded", OVER)
    walk.nothing_lost(walk.one, walk.three)
    script.do("failover_cancel")
    assert script.says() == ("Protected", "Primary", USUAL)
    assert script.last()[:2] == ("CancelFailover", "Succeeded")
    walk.runs_on(walk.one)

    oldest, newest = script.choose_points()
    failed = script.do("unplanned_failover", "unplanned")
    assert failed.properties.failover_recovery_point_id.endswith(f"/{oldest.rpartition('.')[2]}")
    assert script.says() == ("UnplannedFailoverCommitPendingStatesBegin", "Recovery", PENDING)
    assert script.last() == ("UnplannedFailover", "Succeeded", LOST)
    walk.runs_on(walk.three)
    before = record("up", walk.three)
    changed = script.do("apply_recovery_point", "point")
    assert changed.properties.failover_recovery_point_id.endswith(f"/{newest.rpartition('.')[2]}")
    assert script.last()[:2] == ("ChangePit", "Succeeded")
    walk.runs_on(walk.three)
    assert record("up", walk.three) > before
    script.do("failover_commit")
    assert script.says() == ("UnplannedFailoverCommitted", "Recovery", AWAY)
    assert script.last() == ("CommitFailover", "Succeeded", COMMIT)


def come_home(walk: Walk) -> None:
    """Steps 50, 51, 53 and 54."""
    script = walk.script
    assert script.come_home() == "Primary"
    assert script.last()[:2] == ("PlannedFailover", "Succeeded")
    walk.nothing_lost(walk.three, walk.one)
    script.do("failover_commit")
    assert script.says() == ("RestoreFinalized", "Primary", ["DisableProtection", "ReverseReplicate"])
    script.do("reprotect", "reprotect")
    assert script.last()[:2] == ("ReProtect", "Succeeded")
    wait_until(walk.is_protected, 120, "protection")
    assert script.says() == ("Protected", "Primary", USUAL)


def come_home_elsewhere(walk: Walk) -> None:
    """Step 52, after another failover, and 53."""
    script = walk.script
    script.do("planned_failover", "planned")
    script.do("failover_commit")
    assert script.says() == ("PlannedFailoverStatesBegin", "Recovery", AWAY)
    assert script.do("planned_failover", "elsewhere").properties.active_location == "Primary"
    walk.nothing_lost(walk.three, walk.two)
    script.do("failover_commit")
    assert script.says() == ("RestoreFinalized", "Primary", ["DisableProtection", "ReverseReplicate"])
    flushed = record("up", walk.two)
    walk.two.cut_power(NAME)
    with ledger.opened(*machines.ledger_disks(walk.two.definition(NAME))) as disks:
        assert ledger.judge(disks, Bounds(at_least=flushed, instant=False)).name == NAME


@pytest.mark.parametrize("walk", sdks.SDKS, indirect=True)
def test_a_script_for_azure_moves_a_guest_and_brings_it_home(walk: Walk) -> None:
    protect(walk)
    go_over(walk)
    come_home(walk)
    come_home_elsewhere(walk)
