"""A vault's jobs and two hosts that joined it: a guest is protected, rehearsed, failed over."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.point_servers import PointServers
from bascule.data.store import Vault
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.machines import Power
from bascule.model.vault.item import Command, Protection, Side
from bascule.model.vault.job import JobState
from lab import machines
from lab.machines import Keeping
from lab.stage import MACHINE
from lab.waiting import wait_until
from tests.control.vaults import VAULT
from tests.drivers.sites.estates import Estate, desk
from tests.front.cli.conftest import Desk

__all__ = ["desk"]


def host(folder: Path) -> QemuHost:
    return QemuHost(folder, SystemClock(), SystemIds(), "tcg")


@pytest.mark.lab
def test_a_guest_goes_over_to_another_host_by_a_vaults_jobs(desk: Desk) -> None:
    """R-FO-1, R-FO-2, R-FO-3."""
    one, two = host(desk.path("one")), host(desk.path("two"))
    one.define(machines.make(Keeping(MACHINE, disks=1), desk.path("images")))
    one.start(MACHINE)
    with ExitStack() as cleanup:
        cleanup.callback(end_all, desk.folder, one, two)
        estate = Estate(desk, cleanup, f"{desk.path('one')}#{MACHINE}")
        estate.run("source")
        estate.run("recovery", "--host", str(desk.path("two")))
        wait_until(lambda: "ledger: acknowledged" in one.console(MACHINE), 60, "the guest to write")
        estate.protect()
        assert estate.points()

        estate.do(Command.TEST_FAIL_OVER)
        assert two.power(f"{MACHINE}-test") is Power.RUNNING
        assert one.power(MACHINE) is Power.RUNNING
        estate.do(Command.CLEAN_UP)
        assert two.machines() == ()

        estate.kill("source")
        one.cut_power(MACHINE)
        estate.do(Command.FAIL_OVER)
        wait_until(lambda: "ledger: up at record" in two.console(MACHINE), 60, "the guest to be up")
        estate.do(Command.COMMIT)
        assert (estate.node.item().protection, estate.node.item().side) == (
            Protection.COMMITTED,
            Side.RECOVERY,
        )
        assert two.power(MACHINE) is Power.RUNNING
        assert one.power(MACHINE) is Power.OFF


@pytest.mark.long
def test_a_guest_goes_over_in_order_and_comes_home_by_a_vaults_jobs(desk: Desk) -> None:
    """R-FO-2, R-HV-1, R-HV-2, R-HV-3."""
    one, two = host(desk.path("one")), host(desk.path("two"))
    one.define(machines.make(Keeping(MACHINE, disks=1), desk.path("images")))
    one.start(MACHINE)
    with ExitStack() as cleanup:
        cleanup.callback(end_all, desk.folder, one, two)
        estate = Estate(desk, cleanup, f"{desk.path('one')}#{MACHINE}")
        estate.run("source", "--host", str(desk.path("one")))
        estate.run("recovery", "--host", str(desk.path("two")))
        wait_until(lambda: "ledger: acknowledged" in one.console(MACHINE), 60, "the guest to write")
        estate.protect()

        estate.do(Command.PLANNED_FAIL_OVER)
        assert "ledger: closed" in one.console(MACHINE)
        wait_until(lambda: "ledger: acknowledged" in two.console(MACHINE), 60, "the guest to write there")
        estate.do(Command.COMMIT)
        estate.do(Command.REPROTECT)
        estate.node.settled()
        assert estate.node.item().protection is Protection.PROTECTED

        job = estate.node.do(Command.FAIL_BACK)
        assert (job.failure, two.power(MACHINE), one.power(MACHINE)) == (None, Power.RUNNING, Power.OFF)
        job = estate.node.ended(estate.node.jobs.resume(VAULT, job.id, "yes"))
        assert (job.state, job.failure) == (JobState.SUCCEEDED, None)
        assert (two.power(MACHINE), one.power(MACHINE)) == (Power.OFF, Power.RUNNING)
        closed = last_record("closed", two)
        wait_until(lambda: ", life" in one.console(MACHINE), 60, "the guest to be up at home")
        assert last_record("up", one) == closed, "nothing is lost, and nothing comes twice"
        estate.do(Command.COMMIT)
        assert two.machines() == ()
        estate.do(Command.REPROTECT)
        estate.node.settled()
        assert estate.node.item().protection is Protection.PROTECTED


def last_record(when: str, side: QemuHost) -> int:
    return int(re.findall(rf"ledger: {when} at record (\d+)\D", side.console(MACHINE))[-1])


def end_all(folder: Path, *sides: QemuHost) -> None:
    """End what outlives the providers that started it."""
    for side in sides:
        for name in side.machines():
            side.cut_power(name)
    for place in folder.rglob("nbd"):
        PointServers([], no_vault).stop(place.parent)


def no_vault() -> Vault:
    raise AssertionError("nothing is opened to end a server")
