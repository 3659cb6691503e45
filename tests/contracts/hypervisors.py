"""What every host of machines must do; a driver's tests inherit it and bring a host and a guest."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.model.machines import DirectBoot, DiskPlace, Hardware, MachineDefinition, Nic, Power, mac_of
from bascule.ports.hypervisors import Hypervisor
from lab.waiting import wait_until

SIZE = 4 << 20
LAN = "lan"
READY = "guest: ready"


class Site(ABC):
    """A host with the network ``lan`` and no machine, as its owner sees it."""

    patience: float = 120.0
    """The seconds that a guest may take to boot or to power off."""

    hands_out_addresses = False
    """Whether the host itself hands out addresses in its network ``lan``."""

    @abstractmethod
    def connect(self) -> Hypervisor:
        """Open the host, as another process would."""

    @abstractmethod
    def boot(self, temper: str = "") -> DirectBoot:
        """Return a guest that says ``guest: ready`` on its console and powers off when it is asked to.

        Of ``temper`` *deaf* it does not listen, of *brief* it powers off by itself as soon as it is ready.
        """

    @abstractmethod
    def make(self, place: DiskPlace, size: int = SIZE) -> None:
        """Put an empty image at a place."""

    @abstractmethod
    def is_there(self, place: DiskPlace) -> bool:
        """Return whether an image is at a place."""

    @abstractmethod
    def take_away(self, place: DiskPlace) -> None:
        """Remove an image behind the host's back."""


VERBS: dict[str, Callable[[Hypervisor], object]] = {
    "definition": lambda host: host.definition("ghost"),
    "mark": lambda host: host.mark("ghost", "x"),
    "marked": lambda host: host.marked("ghost"),
    "power": lambda host: host.power("ghost"),
    "starts_unasked": lambda host: host.starts_unasked("ghost"),
    "start": lambda host: host.start("ghost"),
    "shut_down": lambda host: host.shut_down("ghost", 1),
    "rest": lambda host: host.rest("ghost", 1),
    "cut_power": lambda host: host.cut_power("ghost"),
    "adopt": lambda host: host.adopt("ghost"),
    "console": lambda host: host.console("ghost"),
    "screenshot": lambda host: host.screenshot("ghost"),
}


class HypervisorContract:
    """Inherit, and provide the fixture ``site``."""

    def machine(self, site: Site, name: str = "web", temper: str = "") -> MachineDefinition:
        """Define a machine of one disk, with an image that was made for it."""
        host = site.connect()
        place = host.new_disk(name, "disk0")
        site.make(place)
        hardware = Hardware(1, 128, nics=(Nic("net0", LAN),), boot=site.boot(temper))
        definition = MachineDefinition(name, hardware, (place,))
        host.define(definition)
        return definition

    def running(self, site: Site, name: str = "web", temper: str = "") -> Hypervisor:
        """Start a machine and wait until its guest is ready."""
        self.machine(site, name, temper)
        host = site.connect()
        host.start(name)
        wait_until(lambda: READY in host.console(name), site.patience)
        return host

    def disks(self, host: Hypervisor, name: str = "web") -> dict[str, int]:
        """Return the disks that a running machine has, with their sizes."""
        machine = host.adopt(name)
        machine.settle({})
        frozen = machine.freeze({})
        found = {disk.id: disk.size_bytes for disk in frozen.disks}
        frozen.drop()
        machine.close()
        return found

    def test_a_new_host_has_networks_and_no_machines(self, site: Site) -> None:
        host = site.connect()
        assert host.machines() == ()
        assert LAN in host.networks()

    def test_what_is_defined_is_known_to_everybody_and_off(self, site: Site) -> None:
        web, cache = self.machine(site), self.machine(site, "cache.1")
        host = site.connect()
        assert host.machines() == ("cache.1", "web")
        assert (host.definition("web"), host.definition("cache.1")) == (web, cache)
        assert host.power("web") is Power.OFF
        assert not host.starts_unasked("web")
        assert host.console("web") == ""

    def test_a_definition_is_replaced_whole(self, site: Site) -> None:
        definition = self.machine(site)
        nics = (Nic("net0", ""), Nic("net1", LAN, "52:54:00:12:34:56"))
        other = replace(definition, hardware=replace(definition.hardware, cpus=2, memory_mib=192, nics=nics))
        host = site.connect()
        host.define(other)
        assert site.connect().definition("web") == other
        assert host.machines() == ("web",)

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_machine_that_is_not_defined_is_missing(self, site: Site, verb: str) -> None:
        with pytest.raises(Missing, match="ghost"):
            VERBS[verb](site.connect())

    def test_a_machine_is_forgotten_once_or_twice_and_its_disks_stay(self, site: Site) -> None:
        definition = self.machine(site)
        host = site.connect()
        for _ in range(2):
            host.forget("web")
            assert host.machines() == ()
        host.forget("never defined")
        assert site.is_there(definition.disks[0])
        host.define(definition)
        assert host.machines() == ("web",)

    def test_a_mark_stays_with_its_machine_until_that_is_forgotten(self, site: Site) -> None:
        definition = self.machine(site)
        host = site.connect()
        assert host.marked("web") == ""
        for text in ("belongs to a", "belongs to b"):
            host.mark("web", text)
        host.define(replace(definition, hardware=replace(definition.hardware, memory_mib=256)))
        assert site.connect().marked("web") == "belongs to b"
        host.forget("web")
        host.define(definition)
        assert site.connect().marked("web") == ""

    def test_what_the_host_cannot_run_is_refused_and_changes_nothing(self, site: Site) -> None:
        good = self.machine(site)
        host = site.connect()
        nowhere = host.new_disk("web", "disk0")
        for bad in (
            replace(good, hardware=replace(good.hardware, nics=(Nic("net0", "no such network"),))),
            replace(good, disks=(*good.disks, replace(nowhere, id="disk1"))),
            replace(good, disks=good.disks * 2),
            replace(good, name="../web"),
            replace(good, hardware=replace(good.hardware, uuid="1234")),
            replace(good, hardware=replace(good.hardware, cpus=0)),
            replace(good, hardware=replace(good.hardware, cpus=100_000)),
            replace(good, hardware=replace(good.hardware, memory_mib=1 << 30)),
        ):
            with pytest.raises(Refused):
                host.define(bad)
        assert host.machines() == ("web",)
        assert host.definition("web") == good

    def test_what_fits_a_host_is_known_before_there_are_disks(self, site: Site) -> None:
        host = site.connect()
        fits = MachineDefinition("web", Hardware(1, 128, nics=(Nic("net0", LAN),)), ())
        host.fits(fits)
        for bad, said in (
            (replace(fits.hardware, cpus=100_000), "100000 processors"),
            (replace(fits.hardware, memory_mib=1 << 30), "1073741824 MiB of memory"),
            (replace(fits.hardware, nics=(Nic("net0", "dmz"),)), "no network 'dmz'"),
        ):
            with pytest.raises(Refused, match=said) as refused:
                host.fits(replace(fits, hardware=bad))
            assert refused.value.message.startswith("web")
        assert host.machines() == ()

    def test_an_address_is_handed_out_or_refused_with_the_card_to_reserve_it_for(self, site: Site) -> None:
        host = site.connect()
        wanted = Nic("net0", LAN, address="10.1.2.9/24")
        machine = MachineDefinition("web", Hardware(1, 128, nics=(wanted,)), ())
        loose = replace(machine, hardware=replace(machine.hardware, nics=(replace(wanted, network=""),)))
        for found in (loose,) if site.hands_out_addresses else (loose, machine):
            with pytest.raises(Refused, match=r"10\.1\.2\.9") as refused:
                host.fits(found)
            assert mac_of("web", "net0") in refused.value.cure
        if site.hands_out_addresses:
            host.fits(machine)

    def test_a_machine_runs_beyond_the_connection_that_started_it_until_it_is_shut_down(
        self, site: Site
    ) -> None:
        self.running(site)
        host = site.connect()
        host.start("web")
        assert host.power("web") is Power.RUNNING
        with pytest.raises(Refused):
            host.forget("web")
        host.shut_down("web", site.patience)
        assert host.power("web") is Power.OFF
        assert READY in host.console("web"), "the console is kept until the next start"
        host.shut_down("web", site.patience)
        host.cut_power("web")
        host.forget("web")
        assert host.machines() == ()

    def test_a_guest_that_does_not_listen_runs_on_until_its_power_is_cut(self, site: Site) -> None:
        host = self.running(site, temper="deaf")
        with pytest.raises(Unavailable, match="web"):
            host.shut_down("web", 0.5)
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")
        assert host.power("web") is Power.OFF
        host.cut_power("web")
        host.start("web")
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")

    def test_a_machine_at_rest_has_no_guest_and_keeps_what_it_recorded(self, site: Site) -> None:
        """R-FO-2: its last changes can be replicated, and nothing is written after them."""
        host = self.running(site)
        machine = host.adopt("web")
        machine.settle({})
        first = machine.freeze({})
        first.keep()
        machine.close()
        for _ in range(2):
            host.rest("web", site.patience)
            assert host.power("web") is Power.PAUSED
        assert READY in host.console("web"), "how its guest ended can be read"
        machine = host.adopt("web")
        assert machine.settle(first.tracking) == first.tracking
        last = machine.freeze(first.tracking)
        assert [disk.is_delta for disk in last.disks] == [True]
        last.keep()
        machine.close()
        host.shut_down("web", site.patience)
        assert host.power("web") is Power.OFF
        host.rest("web", 1)
        machine = host.adopt("web")
        assert machine.settle(last.tracking) == last.tracking, "images keep what they record through a rest"
        machine.close()
        host.cut_power("web")

    def test_a_machine_at_rest_starts_anew(self, site: Site) -> None:
        host = self.running(site)
        host.rest("web", site.patience)
        host.start("web")
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")

    def test_a_machine_that_is_off_is_brought_to_rest_without_its_guest(self, site: Site) -> None:
        self.machine(site)
        host = site.connect()
        host.rest("web", 1)
        assert host.power("web") is Power.PAUSED
        assert self.disks(host) == {"disk0": SIZE}
        assert READY not in host.console("web")
        host.cut_power("web")

    def test_a_guest_that_does_not_listen_is_not_brought_to_rest(self, site: Site) -> None:
        host = self.running(site, temper="deaf")
        with pytest.raises(Unavailable, match="web"):
            host.rest("web", 0.5)
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")

    def test_a_guest_that_powers_off_by_itself_is_off(self, site: Site) -> None:
        self.machine(site, temper="brief")
        host = site.connect()
        host.start("web")
        wait_until(lambda: host.power("web") is Power.OFF, site.patience)
        assert READY in host.console("web")
        host.shut_down("web", 1)
        with pytest.raises(Unavailable, match="web"):
            host.adopt("web")
        with pytest.raises(Unavailable, match="web"):
            host.screenshot("web")

    def test_of_many_that_start_a_machine_at_once_one_does(self, site: Site) -> None:
        self.machine(site, temper="deaf")
        gate = threading.Barrier(4)

        def start() -> None:
            host = site.connect()
            gate.wait()
            host.start("web")

        with ThreadPoolExecutor(4) as crew:
            for begun in [crew.submit(start) for _ in range(4)]:
                begun.result()
        host = site.connect()
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")
        assert host.power("web") is Power.OFF

    def test_a_machine_whose_disk_is_gone_does_not_start_and_says_why(self, site: Site) -> None:
        definition = self.machine(site)
        site.take_away(definition.disks[0])
        host = site.connect()
        with pytest.raises(Refused, match="web"):
            host.start("web")
        assert host.power("web") is Power.OFF
        site.make(definition.disks[0])
        host.start("web")
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")

    def test_an_export_is_looked_for_when_the_machine_starts(self, site: Site) -> None:
        definition = self.machine(site)
        host = site.connect()
        served = DiskPlace("disk1", "nbd+unix:///disk1?socket=/nowhere/nbd.sock", "raw")
        host.define(replace(definition, disks=(*definition.disks, served)))
        with pytest.raises(Refused, match="web"):
            host.start("web")
        assert host.power("web") is Power.OFF

    def test_a_running_machine_is_adopted_with_its_disks_and_let_go(self, site: Site) -> None:
        host = self.running(site, temper="deaf")
        machine = host.adopt("web")
        assert machine.name == "web"
        machine.close()
        assert self.disks(host) == {"disk0": SIZE}
        assert host.power("web") is Power.RUNNING
        host.cut_power("web")

    def test_a_disk_is_switched_by_the_definition_at_the_next_start(self, site: Site) -> None:
        host = self.running(site, temper="deaf")
        definition = host.definition("web")
        other = host.new_disk("web", "disk0")
        site.make(other, 2 * SIZE)
        host.define(replace(definition, disks=(other,)))
        assert self.disks(host) == {"disk0": SIZE}, "what runs goes on as it is"
        with pytest.raises(Refused):
            host.remove_disk(definition.disks[0])
        assert site.is_there(definition.disks[0])
        host.cut_power("web")
        host.start("web")
        assert self.disks(host) == {"disk0": 2 * SIZE}
        host.cut_power("web")
        host.remove_disk(definition.disks[0])
        assert not site.is_there(definition.disks[0])

    def test_places_for_disks_are_new_and_stay_until_nobody_needs_them(self, site: Site) -> None:
        host = site.connect()
        first, second = host.new_disk("web", "disk0"), host.new_disk("web", "disk0")
        assert first.words != second.words
        assert (first.id, second.id) == ("disk0", "disk0")
        for place in (first, second):
            assert not site.is_there(place)
            site.make(place)
        host.define(MachineDefinition("web", Hardware(memory_mib=128), (first,)))
        with pytest.raises(Refused, match="web"):
            host.remove_disk(first)
        for _ in range(2):
            host.remove_disk(second)
        assert (site.is_there(first), site.is_there(second)) == (True, False)
        with pytest.raises(Refused):
            host.remove_disk(DiskPlace("disk0", "/etc/hostname", "raw"))
        host.forget("web")
        host.remove_disk(first)
        assert not site.is_there(first)

    def test_the_console_is_that_of_the_last_start(self, site: Site) -> None:
        self.machine(site, temper="brief")
        host = site.connect()
        for _ in range(2):
            host.start("web")
            wait_until(lambda: host.power("web") is Power.OFF, site.patience)
            assert host.console("web").count(READY) == 1

    def test_the_screen_of_a_running_machine_is_a_picture(self, site: Site) -> None:
        host = self.running(site, temper="deaf")
        assert host.screenshot("web").startswith(b"\x89PNG\r\n\x1a\n")
        host.cut_power("web")
