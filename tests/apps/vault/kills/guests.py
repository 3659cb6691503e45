"""A guest's life between two real hosts of a real server of vaults, all of which may be killed on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.machines import Power
from bascule.model.vault.item import Command
from lab import ledger, machines
from lab.ledger import Bounds
from lab.machines import Keeping
from lab.stage import MACHINE
from lab.waiting import wait_until
from tests.lab.sides.test_vault import end_all, host

from .hosting import AWAY, HOME
from .lives import Life, Steps

C = Command
OVER_AND_BACK: Steps = (
    *((C.ENABLE, {}), (C.TEST_FAIL_OVER, {}), (C.CLEAN_UP, {})),
    *((C.PLANNED_FAIL_OVER, {}), (C.CANCEL, {}), (C.FAIL_OVER, {"shut_down": "yes"}), (C.COMMIT, {})),
    *((C.REPROTECT, {}), (C.FAIL_BACK, {}), (C.COMMIT, {}), (C.REPROTECT, {})),
)
_PATIENCE_SECONDS = 90.0


@dataclass
class GuestLife(Life):
    """A guest that keeps a ledger goes over and comes home; never do two of it run."""

    steps: Steps = OVER_AND_BACK
    stride: int = 0
    sides: Mapping[str, str] = field(default_factory=lambda: {"source": HOME, "recovery": AWAY})

    def __post_init__(self) -> None:
        self.hosts = {name: host(self.desk.path(f"{name}-host")) for name in self.sides}
        self.machine = f"{self.desk.path('source-host')}#{MACHINE}"
        self.desk.init()

    @property
    def one(self) -> QemuHost:
        return self.hosts["source"]

    @property
    def two(self) -> QemuHost:
        return self.hosts["recovery"]

    def __enter__(self) -> GuestLife:
        self.one.define(machines.make(Keeping(MACHINE, disks=1), self.desk.path("images")))
        self.one.start(MACHINE)
        wait_until(lambda: "ledger: acknowledged" in self.one.console(MACHINE), 60, "the guest to write")
        super().__enter__()
        return self

    def __exit__(self, *about: object) -> None:
        super().__exit__(*about)
        end_all(self.desk.folder, self.one, self.two)

    def ends_well(self) -> None:
        """See that the machine is at home and what its ledger says was acknowledged is on its disks."""
        assert self._power(self.one) is Power.RUNNING
        assert self.two.machines() == ()
        wait_until(lambda: ", life" in self.one.console(MACHINE), _PATIENCE_SECONDS, "the guest to be up")
        flushed = record("up", self.one)
        self.one.cut_power(MACHINE)
        with ledger.opened(*machines.ledger_disks(self.one.definition(MACHINE))) as disks:
            assert ledger.judge(disks, Bounds(at_least=flushed, instant=False)).name == MACHINE

    def _begin_host(self, name: str, _side: str, folder: Path) -> None:
        died, place = self.desk.path("hosts.deaths"), self.desk.path(f"{name}-host")
        self._start("providing", died, str(self.stride), "provider", "run", folder, "--host", place)

    def _place(self) -> dict[str, str]:
        return {"store": self.desk.store, "key_file": str(self.desk.path("main.key"))}

    def _give(self, command: Command, input: Mapping[str, str]) -> None:
        if command is Command.COMMIT:
            here = self._power(self.one) is Power.RUNNING
            self._nothing_is_lost(*((self.two, self.one) if here else (self.one, self.two)))
        super()._give(command, input)

    def _nothing_is_lost(self, left: QemuHost, came: QemuHost) -> None:
        """See that the guest went on at the record at which it was shut down."""
        wait_until(lambda: ", life" in came.console(MACHINE), _PATIENCE_SECONDS, "the guest to be up")
        assert record("up", came) >= record("closed", left)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def meanwhile() -> bool:
            both = [self._power(self.one), self._power(self.two)]
            assert both != [Power.RUNNING, Power.RUNNING], f"two run, while there is to be {what}"
            return condition()

        super()._wait(meanwhile, what)

    def _power(self, where: QemuHost) -> Power:
        return where.power(MACHINE) if MACHINE in where.machines() else Power.OFF


def record(when: str, where: QemuHost) -> int:
    return int(re.findall(rf"ledger: {when} at record (\d+)\D", where.console(MACHINE))[-1])
