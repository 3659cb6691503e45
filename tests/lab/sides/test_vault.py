"""A vault's jobs and two hosts that joined it: a guest is protected, rehearsed, failed over."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.machines import Power
from bascule.model.vault.item import Command, Protection, Side
from lab import machines
from lab.machines import Keeping
from lab.stage import MACHINE
from lab.waiting import wait_until
from tests.drivers.sites.estates import Estate
from tests.front.cli.conftest import Desk, desk

__all__ = ["desk"]
pytestmark = pytest.mark.lab


def host(folder: Path) -> QemuHost:
    return QemuHost(folder, SystemClock(), SystemIds(), "tcg")


def test_a_guest_goes_over_to_another_host_by_a_vaults_jobs(desk: Desk) -> None:
    """R-FO-1, R-FO-2, R-FO-3."""
    one, two = host(desk.path("one")), host(desk.path("two"))
    one.define(machines.make(Keeping(MACHINE, disks=1), desk.path("images")))
    one.start(MACHINE)
    with ExitStack() as cleanup:
        for side in (one, two):
            cleanup.callback(cut, side)
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


def cut(side: QemuHost) -> None:
    for name in side.machines():
        side.cut_power(name)
