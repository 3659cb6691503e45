"""What ``networks.json`` may say, and what machines reach by it: real bridges, taps and namespaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.hypervisors.qemu.host import leases
from bascule.drivers.hypervisors.qemu.host.folder import HostFolder
from bascule.drivers.hypervisors.qemu.host.networks import Kind, Network, check_networks, networks_in, way_out
from bascule.drivers.hypervisors.qemu.host.plugs import isolated_name, plugged, sweep
from bascule.model.errors import Damaged, Refused
from bascule.model.machines import Hardware, MachineDefinition, Nic
from lab.sites.power import started_at
from lab.waiting import wait_until

from .conftest import QemuSite

_BRIDGED = {"lan": {"kind": "bridge", "device": "br0"}, "out": {"kind": "user"}}


def said(folder: Path, text: str) -> Mapping[str, Network]:
    (folder / "networks.json").write_text(text)
    return networks_in(folder)


def test_a_host_that_says_nothing_has_a_way_out_and_a_network_without_one(tmp_path: Path) -> None:
    assert networks_in(tmp_path) == {"isolated": Network(Kind.ISOLATED), "user": Network(Kind.USER)}


def test_networks_are_read(tmp_path: Path) -> None:
    assert said(tmp_path, json.dumps({"version": 1, "networks": _BRIDGED})) == {
        "lan": Network(Kind.BRIDGE, "br0"),
        "out": Network(Kind.USER),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "networks": {}}',
        '{"version": 1}',
        '{"version": 1, "networks": {"lan": {"kind": "bridge"}}}',
        '{"version": 1, "networks": {"lan": {"kind": "user", "device": "br0"}}}',
        '{"version": 1, "networks": {"lan": {"kind": "wormhole"}}}',
        '{"version": 1, "networks": {"lan": "br0"}}',
        '{"version": 1, "networks": ["lan"]}',
    ],
)
def test_networks_that_make_no_sense_are_not_guessed_at(tmp_path: Path, text: str) -> None:
    with pytest.raises(Damaged, match=r"networks\.json"):
        said(tmp_path, text)


def test_a_network_for_an_address_has_its_gateway_where_most_have_it() -> None:
    assert way_out("") == "user"
    assert way_out("10.1.2.9/24") == "user,net=10.1.2.0/24,host=10.1.2.1,dns=10.1.2.2,dhcpstart=10.1.2.9"
    assert way_out("10.1.2.17/28") == "user,net=10.1.2.16/28,host=10.1.2.18,dns=10.1.2.19,dhcpstart=10.1.2.17"


def test_an_address_in_a_bridge_is_refused_with_the_card_to_reserve_it_for(tmp_path: Path) -> None:
    known = said(tmp_path, json.dumps({"version": 1, "networks": _BRIDGED}))
    for network, is_ours in (("out", True), ("lan", False), ("", False)):
        card = Nic("net0", network, "52:54:00:00:00:01", "10.1.2.9/24")
        machine = MachineDefinition("web", Hardware(nics=(card,)), ())
        if is_ours:
            check_networks(machine, known)
            continue
        with pytest.raises(Refused, match=r"10\.1\.2\.9/24 is not ours to hand out") as refused:
            check_networks(machine, known)
        assert "reserve it for 52:54:00:00:00:01" in refused.value.cure


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def namespaces() -> set[str]:
    return {line.split()[0] for line in ip("netns", "list").splitlines()}


def taps() -> dict[str, str]:
    """Return the taps of this host that are ours, with what is written on them."""
    return {
        link["ifname"]: link["ifalias"]
        for link in json.loads(ip("-json", "link", "show", "type", "tun"))
        if link.get("ifalias", "").startswith("bascule ")
    }


@pytest.fixture
def bridge() -> Iterator[str]:
    name = f"bsct{os.getpid()}"
    ip("link", "add", name, "type", "bridge")
    ip("link", "set", "dev", name, "up")
    yield name
    ip("link", "delete", "dev", name)


class Neighbours:
    """Machines without disks that ping each other."""

    def __init__(self, site: QemuSite) -> None:
        self.site = site
        self.host = site.connect()

    def start(self, name: str, network: str, own: int, peer: int) -> None:
        boot = self.site.boot("deaf", f"address=10.77.0.{own}/24 peer=10.77.0.{peer}")
        hardware = Hardware(memory_mib=128, nics=(Nic("net0", network),), boot=boot)
        self.host.define(MachineDefinition(name, hardware, ()))
        self.host.start(name)

    def must_hear(self, name: str, peer: int) -> None:
        wait_until(lambda: f"heard 10.77.0.{peer}" in self.host.console(name), self.site.patience)


@pytest.mark.lab
def test_machines_in_a_bridge_hear_each_other_and_leave_no_tap(site: QemuSite, bridge: str) -> None:
    site.has_networks({"lan": {"kind": "bridge", "device": bridge}})
    lan = Neighbours(site)
    lan.start("one", "lan", 1, 2)
    lan.start("two", "lan", 2, 1)
    assert {"bascule one net0", "bascule two net0"} <= set(taps().values())
    lan.must_hear("one", 2)
    lan.must_hear("two", 1)
    for name in ("one", "two"):
        lan.host.cut_power(name)
    assert not {"bascule one net0", "bascule two net0"} & set(taps().values())


@pytest.mark.lab
def test_an_isolated_network_has_its_machines_and_nothing_else_and_ends_with_them(site: QemuSite) -> None:
    """R-FO-5: a machine under test must not meet the one it is a copy of."""
    site.has_networks({"test": {"kind": "isolated"}, "other": {"kind": "isolated"}})
    space = isolated_name(HostFolder(site.folder), "test")
    net = Neighbours(site)
    net.start("one", "test", 1, 2)
    net.start("three", "other", 3, 1)
    net.start("two", "test", 2, 1)
    net.must_hear("one", 2)
    net.must_hear("two", 1)
    links = json.loads(ip("-n", space, "-json", "link"))
    assert sorted(link["ifname"] for link in links if not link["ifname"].startswith("bsc")) == ["br0", "lo"]
    assert len(links) == 4, "the bridge, two taps, and a loopback that is down"
    assert ip("-n", space, "route") == ""
    assert taps() == {} or not any(" one " in said or " two " in said for said in taps().values())
    assert "heard" not in net.host.console("three"), "another isolated network is another one"
    net.host.cut_power("one")
    assert space in namespaces()
    net.host.cut_power("two")
    assert space not in namespaces()
    net.host.cut_power("three")
    assert list((site.folder / "isolated").iterdir()) == []
    net.host.start("one")
    assert space in namespaces()


def plugged_in(site: QemuSite, name: str, address: str) -> None:
    """Plug a machine into the isolated network ``test``, and hold it there without a QEMU."""
    definition = MachineDefinition(name, Hardware(nics=(Nic("net0", "test", address=address),)), ())
    host = HostFolder(site.folder)
    with plugged(host, networks_in(site.folder), definition, SystemIds()) as plugs:
        assert plugs["net0"].startswith("tap,fd=")


def served(space: str) -> list[str]:
    """Return what the servers in a namespace hand out."""
    pids = ip("netns", "pids", space).split()
    lines = [Path("/proc", pid, "cmdline").read_bytes().decode().split("\0") for pid in pids]
    return sorted(
        word.partition(",")[2] for line in lines for word in line if word.startswith("--dhcp-host=")
    )


@pytest.mark.lab
def test_an_isolated_network_hands_out_what_was_asked_and_its_server_ends_with_it(site: QemuSite) -> None:
    site.has_networks({"test": {"kind": "isolated"}})
    host = HostFolder(site.folder)
    space = isolated_name(host, "test")
    for name, address, known in (
        ("one", "10.1.2.1/24", ["10.1.2.1"]),
        ("two", "10.1.2.9/24", ["10.1.2.1", "10.1.2.9"]),
        ("two", "10.1.2.7/24", ["10.1.2.1", "10.1.2.7"]),
        ("three", "10.1.2.7/24", ["10.1.2.1", "10.1.2.7"]),
        ("four", "10.5.0.4/16", ["10.1.2.1", "10.1.2.7", "10.5.0.4"]),
    ):
        plugged_in(site, name, address)
        assert served(space) == known
    shown = json.loads(ip("-n", space, "-json", "-4", "address", "show", "dev", "br0"))
    own = [(found["local"], found["prefixlen"]) for found in shown[0]["addr_info"]]
    assert own == [("10.1.2.2", 24), ("10.5.0.1", 16)], "no guest's, and of each network one"
    (server,) = ip("netns", "pids", space).split()
    sweep(host)
    assert space not in namespaces()
    assert started_at(int(server)) == 0, "it is gone, or dead and nobody has waited for it"
    assert list((site.folder / "leases").iterdir()) == []


def test_an_address_in_an_isolated_network_needs_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_PATH", "/nowhere")
    card = Nic("net0", "isolated", address="10.1.2.9/24")
    machine = MachineDefinition("web", Hardware(nics=(card,)), ())
    with pytest.raises(Refused, match="dnsmasq is not there") as refused:
        check_networks(machine, networks_in(Path("/nowhere")))
    assert refused.value.cure == "install the package dnsmasq-base"


_DIES_PLUGGED = """
import os, signal, sys
from pathlib import Path
from bascule.apps.chance import SystemIds
from bascule.drivers.hypervisors.qemu.host.folder import HostFolder
from bascule.drivers.hypervisors.qemu.host.networks import networks_in
from bascule.drivers.hypervisors.qemu.host.plugs import plugged
from bascule.model.machines import Hardware, MachineDefinition, Nic

folder = Path(sys.argv[1])
nics = (Nic("net0", "test"), Nic("net1", "lan"))
dead = MachineDefinition("dead", Hardware(nics=nics), ())
with plugged(HostFolder(folder), networks_in(folder), dead, SystemIds()) as plugs:
    print(*plugs.values(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.lab
def test_who_dies_while_plugging_leaves_no_tap_and_a_namespace_that_is_swept(
    site: QemuSite, bridge: str
) -> None:
    site.has_networks({"test": {"kind": "isolated"}, "lan": {"kind": "bridge", "device": bridge}})
    host = HostFolder(site.folder)
    died = subprocess.run(
        [sys.executable, "-c", _DIES_PLUGGED, site.folder], capture_output=True, text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert died.stdout.count("tap,fd=") == 2
    assert not any("bascule dead" in said for said in taps().values())
    assert isolated_name(host, "test") in namespaces()
    sweep(host)
    assert isolated_name(host, "test") not in namespaces()


@pytest.mark.lab
def test_a_namespace_that_was_left_half_made_is_made_whole(site: QemuSite) -> None:
    site.has_networks({"test": {"kind": "isolated"}})
    ip("netns", "add", isolated_name(HostFolder(site.folder), "test"))
    net = Neighbours(site)
    net.start("one", "test", 1, 2)
    net.start("two", "test", 2, 1)
    net.must_hear("one", 2)


@pytest.mark.lab
def test_a_network_that_is_not_there_stops_the_start_with_a_cure(site: QemuSite) -> None:
    site.has_networks(
        {"lan": {"kind": "bridge", "device": "bsctnone"}, "tap": {"kind": "tap", "device": "bsctnone"}}
    )
    net = Neighbours(site)
    with pytest.raises(Refused, match=r"one: network lan: .*bsctnone") as refused:
        net.start("one", "lan", 1, 2)
    assert "see that the host has this device" in refused.value.cure
    site.has_networks({})
    definition = net.host.definition("one")
    with pytest.raises(Refused, match="this host has no network 'lan'"):
        net.host.start("one")
    with pytest.raises(Refused, match="no network 'wan'"):
        net.host.define(replace(definition, hardware=replace(definition.hardware, nics=(Nic("n", "wan"),))))


@pytest.mark.lab
def test_a_tap_of_somebody_elses_serves_one_machine_and_stays(site: QemuSite) -> None:
    tap = f"bsctt{os.getpid()}"
    ip("tuntap", "add", "dev", tap, "mode", "tap")
    try:
        site.has_networks({"lab": {"kind": "tap", "device": tap}})
        net = Neighbours(site)
        net.start("one", "lab", 1, 2)
        with pytest.raises(Refused, match=r"two does not start: .*busy"):
            net.start("two", "lab", 2, 1)
        net.host.cut_power("one")
        net.start("two", "lab", 2, 1)
        net.host.cut_power("two")
        assert tap in ip("link", "show", "type", "tun")
    finally:
        ip("tuntap", "delete", "dev", tap, "mode", "tap")
