from __future__ import annotations

from dataclasses import replace

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.fake.host import FakeHypervisor, Moment
from bascule.model.errors import Missing, Refused, Unavailable
from bascule.model.machines import DirectBoot, DiskPlace, Power
from bascule.ports.hypervisors import Hypervisor
from tests.contracts.hypervisors import SIZE, HypervisorContract, Site


class FakeSite(Site):
    def __init__(self) -> None:
        self.host = FakeHypervisor(SystemClock(), SystemIds())

    def connect(self) -> Hypervisor:
        return self.host

    def boot(self, temper: str = "") -> DirectBoot:
        return DirectBoot("kernel", command_line=f"temper={temper}")

    def make(self, place: DiskPlace, size: int = SIZE) -> None:
        self.host.make(place.words, bytes(size))

    def is_there(self, place: DiskPlace) -> bool:
        return place.words in self.host.images

    def take_away(self, place: DiskPlace) -> None:
        del self.host.images[place.words]


class TestFake(HypervisorContract):
    @pytest.fixture
    def site(self) -> Site:
        return FakeSite()


class Killed(BaseException):
    """Who asked is dead."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_whoever_asks_can_die_before_and_after_every_verb(moment: Moment) -> None:
    site = FakeSite()
    TestFake().machine(site)

    def die(verb: str, when: Moment) -> None:
        if (verb, when) == ("start", moment):
            raise Killed

    site.host.interrupt = die
    with pytest.raises(Killed):
        site.host.start("web")
    assert (site.host.power("web") is Power.RUNNING) == (moment == "after")


def test_a_host_can_be_away() -> None:
    site = FakeSite()

    def away(verb: str, when: Moment) -> None:
        raise Unavailable(f"{verb}: the host does not answer")

    site.host.interrupt = away
    with pytest.raises(Unavailable, match="machines: the host does not answer"):
        site.host.machines()


def test_a_power_cut_keeps_disks_and_definitions_and_forgets_what_was_recorded() -> None:
    site = FakeSite()
    host = TestFake().running(site)
    machine = host.adopt("web")
    frozen = machine.freeze({})
    frozen.keep()
    site.host.running["web"].write("disk0", 5, b"written")
    site.host.lose_power()
    assert host.power("web") is Power.OFF
    host.start("web")
    assert site.host.open(host.definition("web").disks[0].words).size_bytes == SIZE
    assert site.host.running["web"].disks["disk0"].content[5:12] == b"written"
    with pytest.raises(Unavailable):
        machine.freeze(frozen.tracking)
    assert host.adopt("web").settle(frozen.tracking) == {}


def test_what_is_recorded_of_a_machine_that_is_shut_down_in_order_holds_at_its_next_start() -> None:
    site = FakeSite()
    host = TestFake().running(site)
    frozen = host.adopt("web").freeze({})
    frozen.keep()
    host.shut_down("web", 1)
    host.start("web")
    assert host.adopt("web").settle(frozen.tracking) == frozen.tracking


def test_a_disk_is_written_to_by_one_running_machine() -> None:
    site = FakeSite()
    host = TestFake().running(site)
    web = host.definition("web")
    host.define(replace(web, name="twin"))
    with pytest.raises(Refused, match="another machine writes to"):
        host.start("twin")
    with pytest.raises(Missing):
        host.power("nobody")
