from __future__ import annotations

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.fake.machine import FakeHost, FakeMachine
from bascule.model.errors import Unavailable
from bascule.ports.disks import DiskSource
from bascule.ports.machines import RunningMachine
from tests.contracts.machines import SIZE, Host, MachineContract


class Fake(Host):
    def __init__(self) -> None:
        self.host = FakeHost({"disk0": bytes(SIZE), "disk1": bytes(SIZE)})

    def adopt(self) -> RunningMachine:
        return FakeMachine(self.host, SystemClock(), SystemIds())

    def write(self, disk: str, offset: int, data: bytes) -> None:
        self.host.write(disk, offset, data)

    def open(self, words: str) -> DiskSource:
        return self.host.open(words)

    def runs(self) -> bool:
        return not self.host.is_held

    def must_be_clean(self) -> None:
        assert self.host.images == {}
        assert all(len(disk.records) == 1 for disk in self.host.disks.values())


class TestFake(MachineContract):
    @pytest.fixture
    def host(self) -> Host:
        return Fake()


def test_a_machine_without_power_answers_nobody_and_forgets_what_changed() -> None:
    fake = Fake()
    machine = fake.adopt()
    frozen = machine.freeze({})
    frozen.keep()
    fake.host.lose_power()
    with pytest.raises(Unavailable):
        machine.freeze(frozen.tracking)
    with pytest.raises(Unavailable):
        fake.adopt()
    fake.host.is_up = True
    assert fake.adopt().settle(frozen.tracking) == {}
