"""A real guest goes over to another host, asked for by nothing but the official SDK over HTTPS (R-OP-4)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from bascule.model.machines import Power
from lab import machines
from lab.machines import Keeping
from lab.stage import MACHINE
from lab.waiting import wait_until
from tests.lab.api.operators import AT, ITEM, Operator
from tests.lab.sides.test_vault import end_all, host

pytestmark = pytest.mark.lab


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
