"""Addresses in a network where libvirt hands them out: kept for a machine, taken back, left to others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bascule.model.errors import Refused
from bascule.model.machines import DirectBoot, Hardware, MachineDefinition, Nic, mac_of
from lab.guests import KERNEL_WORDS, VIRTIO_DISK, initramfs, kit
from lab.waiting import wait_until
from tests.drivers.hypervisors.guests import NETWORK
from tests.drivers.hypervisors.libvirt.host.conftest import LibvirtSite

pytestmark = pytest.mark.lab

LEASED = "leased"
MAC = mac_of("web", "net0")
# Without a firewall's rules, for which a tool would have to be there.
DESCRIPTION = f"""
<network>
  <name>{LEASED}</name><forward mode='open'/><bridge name='lan9'/>
  <ip address='10.9.8.1' prefix='24'><dhcp>
    <range start='10.9.8.100' end='10.9.8.110'/><host mac='52:54:00:00:00:09' ip='10.9.8.9'/>
  </dhcp></ip>
</network>
"""
_SCRIPT = r"""
mdev -s
printf '#!/bin/sh\n[ "$1" != bound ] || echo "guest: leased $ip" > /dev/console\n' > /lease
chmod +x /lease
ip link set eth0 up
udhcpc -i eth0 -q -n -t 20 -T 1 -s /lease > /dev/null 2>&1
say asked
while true; do sleep 1000; done
"""


@pytest.fixture
def leased(site: LibvirtSite) -> Iterator[LibvirtSite]:
    network = site.connection.networkDefineXML(DESCRIPTION)
    network.create()
    yield site
    host = site.connect()
    for name in host.machines():
        host.cut_power(name)
    network.destroy()
    network.undefine()


def kept(site: LibvirtSite, flags: int = 0) -> list[str]:
    """Return the addresses that the network keeps for somebody; with flags 1, in its next life."""
    described = site.connection.networkLookupByName(LEASED).XMLDesc(flags)
    return sorted(line.split("'")[3] for line in described.splitlines() if "<host mac=" in line)


def machine(address: str, name: str = "web", **nic: str) -> MachineDefinition:
    return MachineDefinition(name, Hardware(1, 128, nics=(Nic("net0", LEASED, address=address, **nic),)), ())


def test_an_address_is_kept_for_as_long_as_the_machine_is_defined_with_it(leased: LibvirtSite) -> None:
    host = leased.connect()
    for _ in range(2):
        host.define(machine("10.9.8.20/24"))
        assert kept(leased) == kept(leased, 1) == ["10.9.8.20", "10.9.8.9"]
    assert host.definition("web") == machine("10.9.8.20/24")
    host.define(machine("10.9.8.21/24"))
    assert kept(leased) == ["10.9.8.21", "10.9.8.9"]
    host.define(machine("10.9.8.21/24", mac="52:54:00:00:00:21"))
    assert kept(leased) == ["10.9.8.21", "10.9.8.9"]
    host.define(machine(""))
    assert kept(leased) == ["10.9.8.9"]
    host.define(machine("10.9.8.22/24"))
    host.forget("web")
    assert kept(leased) == kept(leased, 1) == ["10.9.8.9"]


def test_what_an_operator_reserved_for_the_card_is_used_and_stays(leased: LibvirtSite) -> None:
    host = leased.connect()
    theirs = machine("10.9.8.9/24", mac="52:54:00:00:00:09")
    host.define(theirs)
    assert host.definition("web") == theirs
    host.forget("web")
    assert kept(leased) == ["10.9.8.9"]


@pytest.mark.parametrize(
    ("address", "mac", "said", "cure"),
    [
        ("10.9.8.9/24", "", "keeps 10.9.8.9 for 52:54:00:00:00:09", "net-update leased delete ip-dhcp-host"),
        (
            "10.9.8.10/24",
            "52:54:00:00:00:09",
            "keeps 10.9.8.9 for 52:54:00:00:00:09",
            "mac='52:54:00:00:00:09'",
        ),
        ("10.9.7.9/24", "", "none of the addresses of network leased", "10.9.8.0/24"),
        ("10.9.8.20/25", "", "none of the addresses of network leased", "10.9.8.0/24"),
        ("10.9.8.1/24", "", "none of the addresses of network leased", "10.9.8.0/24"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_a_cure_and_nothing_is_kept(
    leased: LibvirtSite, address: str, mac: str, said: str, cure: str
) -> None:
    host = leased.connect()
    with pytest.raises(Refused, match=said) as refused:
        host.define(machine(address, mac=mac))
    assert cure in refused.value.cure
    assert (kept(leased), host.machines()) == (["10.9.8.9"], ())


def test_an_address_stays_with_its_network(leased: LibvirtSite) -> None:
    host = leased.connect()
    host.define(machine("10.9.8.20/24"))
    moved = machine("")
    nics = (replace(moved.hardware.nics[0], network="user"),)
    moved = replace(moved, hardware=replace(moved.hardware, nics=nics))
    host.define(moved)
    assert host.definition("web") == moved
    assert kept(leased) == ["10.9.8.9"]


def test_a_guest_that_asks_gets_the_address_that_was_asked_for_it(
    leased: LibvirtSite,
) -> None:
    initrd = initramfs(leased.folder / "lease.initrd", _SCRIPT, modules=(*VIRTIO_DISK, *NETWORK))
    asked = machine("10.9.8.20/24")
    boot = DirectBoot(str(kit() / "vmlinuz"), str(initrd), KERNEL_WORDS)
    host = leased.connect()
    host.define(replace(asked, hardware=replace(asked.hardware, boot=boot)))
    host.start("web")
    wait_until(lambda: "guest: asked" in host.console("web"), leased.patience)
    assert "guest: leased 10.9.8.20\n" in host.console("web")


def test_two_machines_cannot_have_one_number(leased: LibvirtSite) -> None:
    host = leased.connect()
    host.define(machine(""))
    number = leased.connection.lookupByName("web").UUIDString()
    other = machine("", "web-2")
    with pytest.raises(Refused, match="web-2 has the number of web") as refused:
        host.fits(replace(other, hardware=replace(other.hardware, uuid=number)))
    assert "--uuid MACHINE=new" in refused.value.cure
    host.define(other)
