"""Real domains of a real libvirtd, with guests that boot."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.libvirt.host import described
from bascule.model.errors import Refused, Unavailable
from bascule.model.machines import DiskPlace, Firmware, Hardware, MachineDefinition, Power
from lab.waiting import wait_until
from tests.contracts.hypervisors import READY, HypervisorContract
from tests.drivers.hypervisors.guests import served
from tests.drivers.hypervisors.libvirt.host.conftest import LibvirtSite
from tests.servers.nbd import NbdServers

pytestmark = pytest.mark.lab


class TestLibvirtHost(HypervisorContract):
    pass


def made(site: LibvirtSite, *disks: DiskPlace, temper: str = "deaf") -> MachineDefinition:
    definition = MachineDefinition("web", Hardware(memory_mib=128, boot=site.boot(temper)), disks)
    site.connect().define(definition)
    return definition


def test_a_machine_runs_on_an_export_and_says_that_it_sees_the_disk(site: LibvirtSite) -> None:
    """As instant recovery serves disks: no byte of them is on the host (R-FO-6)."""
    image = site.folder / "served"
    image.write_bytes(bytes(4 << 20))
    with NbdServers(site.folder) as servers:
        place = DiskPlace("disk0", str(servers.qemu(image)), "raw")
        definition = made(site, place)
        host = site.connect()
        assert host.definition("web") == definition
        host.start("web")
        wait_until(lambda: READY in host.console("web"), site.patience)
        assert "guest: disks 1" in host.console("web")
        host.cut_power("web")


def test_an_image_with_another_behind_it_is_run_and_replicated_as_one_disk(site: LibvirtSite) -> None:
    host = site.connect()
    below, above = host.new_disk("web", "disk0"), host.new_disk("web", "disk0")
    site.make(below)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below.words, above.words]
    subprocess.run(create, check=True)
    made(site, above)
    host.start("web")
    machine = host.adopt("web")
    machine.settle({})
    first = machine.freeze({})
    assert [(disk.id, disk.size_bytes) for disk in first.disks] == [("disk0", 4 << 20)]
    first.keep()
    second = machine.freeze(first.tracking)
    assert second.disks[0].is_delta
    second.drop()
    machine.close()
    host.cut_power("web")


def test_a_machine_boots_by_uefi_and_is_forgotten_with_its_variables(site: LibvirtSite) -> None:
    host = site.connect()
    place = host.new_disk("web", "disk0")
    site.make(place)
    definition = MachineDefinition("web", Hardware(memory_mib=256, firmware=Firmware.UEFI), (place,))
    try:
        host.define(definition)
    except Refused as refused:
        assert "UEFI" in refused.message  # noqa: PT017 - a host without the firmware says so, and that is all
        return
    assert host.definition("web") == definition
    host.start("web")
    assert host.power("web") is Power.RUNNING
    host.cut_power("web")
    host.forget("web")
    assert host.machines() == ()


THEIRS = """
<domain type='qemu'><name>theirs</name><memory unit='GiB'>1</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='{disk}'/>
    <target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
  <interface type='network'><source network='lan'/><mac address='52:54:00:12:34:56'/></interface>
  <watchdog model='i6300esb' action='reset'/>
</devices></domain>
"""


def test_of_somebody_elses_domain_only_the_places_of_disks_are_changed(site: LibvirtSite) -> None:
    """Failback switches its disks in one step, and whatever else it has stays."""
    host = site.connect()
    before, after = host.new_disk("theirs", "vda"), host.new_disk("theirs", "vda")
    for place in (before, after):
        site.make(place)
    site.connection.defineXML(THEIRS.format(disk=before.words))
    definition = host.definition("theirs")
    assert definition.disks == (before,)
    assert (definition.hardware.cpus, definition.hardware.memory_mib) == (2, 1024)
    assert [(nic.network, nic.mac) for nic in definition.hardware.nics] == [("lan", "52:54:00:12:34:56")]
    with pytest.raises(Refused, match="somebody else"):
        host.define(replace(definition, hardware=replace(definition.hardware, cpus=1)))
    host.define(replace(definition, disks=(after,)))
    assert host.definition("theirs") == replace(definition, disks=(after,))
    kept = site.connection.lookupByName("theirs").XMLDesc()
    assert "<watchdog model='i6300esb' action='reset'" in kept
    assert "cache='none'" in kept
    with pytest.raises(Refused, match="theirs is defined with"):
        host.remove_disk(after)
    host.remove_disk(before)
    assert not Path(before.words).exists()


def test_a_daemon_that_starts_anew_is_noticed_by_nobody(site: LibvirtSite) -> None:
    host = site.connect()
    place = host.new_disk("web", "disk0")
    site.make(place)
    definition = made(site, place)
    host.start("web")
    site.daemon.kill()
    site.reconnect()
    assert host.definition("web") == definition
    assert host.power("web") is Power.RUNNING
    host.cut_power("web")


def test_an_accelerator_that_does_not_exist_is_refused(site: LibvirtSite) -> None:
    with pytest.raises(Refused, match="no accelerator 'warp'"):
        site.connect("warp")


def test_a_machine_whose_export_was_away_goes_on_or_says_that_it_stands_still(
    site: LibvirtSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "_RECONNECT_SECONDS", 1)
    image, socket = site.folder / "image", site.folder / "nbd"
    image.write_bytes(bytes(4 << 20))

    def beats() -> int:
        return len(re.findall(r"beat \d+\.", host.console("web")))

    with served(image, socket):
        made(site, DiskPlace("disk0", f"nbd+unix:///disk0?socket={socket}", "raw"), temper="busy")
        host = site.connect()
        host.start("web")
        wait_until(lambda: beats() > 3, site.patience)
    wait_until(lambda: host.power("web") is Power.PAUSED, site.patience)
    for asked in (host.start, partial(host.rest, seconds=1)):
        with pytest.raises(Unavailable, match="web stands still: a disk of it does not answer"):
            asked("web")
    before = beats()
    with served(image, socket):
        with pytest.raises(Unavailable, match="did not power off"):
            host.rest("web", 1)
        wait_until(lambda: beats() > before + 3, site.patience)
        host.cut_power("web")
