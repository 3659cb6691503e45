"""The lab's sites: wired, narrowed, delayed, cut; and nothing of them is left, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bascule.model.machines import MachineDefinition
from lab import ledger, machines
from lab.filesystems import ToolFailed
from lab.machines import Keeping
from lab.sites import Host, Sites, power, removal
from lab.waiting import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's to make"),
]

ROOT = Path(__file__).resolve().parents[2]
PORT = 4000
LISTEN = f"""
import socket
with socket.create_server(("", {PORT})) as server:
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(1 << 20):
                if data.endswith(b"."):
                    connection.sendall(b"!")
"""
SEND = f"""
import socket, sys, time
with socket.create_connection((sys.argv[1], {PORT}), timeout=10) as connection:
    begun = time.monotonic()
    connection.sendall(bytes(int(sys.argv[2])) + b".")
    assert connection.recv(1) == b"!"
    print(time.monotonic() - begun)
"""
# Starts another process that has a session of its own, and ends.
DETACH = """
from subprocess import DEVNULL, Popen
Popen(["sleep", "1000"], start_new_session=True, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
"""


@pytest.fixture(params=[True, False], ids=["by-group", "by-namespace"])
def sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    with Sites(grouped=request.param) as made:
        yield made


def listening(host: Host) -> subprocess.Popen[str]:
    process = host.start([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def seconds_to_send(host: Host, other: Host, count: int = 0) -> float:
    """Send so many bytes to the host that listens and wait for its answer."""
    return float(host.run(sys.executable, "-c", SEND, other.address, str(count)))


def left_of(prefix: str) -> list[Path]:
    """Return what is still there of sites."""
    places = [power.NAMESPACES, power.control_groups()]
    return [path for place in places if place and place.exists() for path in place.glob(f"{prefix}*")]


def prefix_of(sites: Sites) -> str:
    return sites.primary.namespace.partition("-")[0]


def test_hosts_reach_each_other_as_far_and_as_fast_as_the_wan_lets_them(sites: Sites) -> None:
    one, two = sites.primary.add_host("one"), sites.primary.add_host("two")
    away = sites.recovery.add_host("away")
    local, remote = listening(two), listening(away)
    assert seconds_to_send(one, two) < 5
    assert seconds_to_send(one, away) < 5
    sites.delay(0.15)
    assert seconds_to_send(one, away) >= 0.3
    assert seconds_to_send(one, two) < 0.3, "the local network is not delayed"
    sites.delay(0)
    sites.limit(1_000_000)
    assert seconds_to_send(one, away, 1_000_000) >= 0.9
    sites.limit(0)
    sites.cut()
    with pytest.raises(Exception, match=r"timed out|TimeoutError"):
        one.run(sys.executable, "-c", SEND.replace("timeout=10", "timeout=1"), away.address, "0")
    assert seconds_to_send(one, two) < 5
    sites.heal()
    assert seconds_to_send(one, away) < 5
    for process in (local, remote):
        process.kill()
        process.communicate()


def test_a_connection_survives_a_wan_that_is_cut_for_a_moment(sites: Sites) -> None:
    one, away = sites.primary.add_host("one"), sites.recovery.add_host("away")
    listener = listening(away)
    sites.limit(2_000_000)
    sender = one.start([sys.executable, "-c", SEND, away.address, "2000000"], stdout=subprocess.PIPE)
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 0.3)  # the middle of it
    sites.cut()
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 0.3)  # what is under way is lost
    assert sender.poll() is None
    sites.heal()
    said, _ = sender.communicate(timeout=60)
    assert float(said) > 0.6
    listener.kill()
    listener.communicate()


def test_a_host_without_its_cable_runs_on(sites: Sites) -> None:
    one, away = sites.primary.add_host("one"), sites.recovery.add_host("away")
    listener = listening(away)
    away.unplug()
    with pytest.raises(Exception, match=r"timed out|TimeoutError|No route"):
        one.run(sys.executable, "-c", SEND.replace("timeout=10", "timeout=1"), away.address, "0")
    assert listener.poll() is None
    away.plug()
    assert seconds_to_send(one, away) < 10
    listener.kill()
    listener.communicate()


def test_a_power_cut_ends_all_of_a_site_and_nothing_else(sites: Sites) -> None:
    one, two = sites.primary.add_host("one"), sites.primary.add_host("two")
    away = sites.recovery.add_host("away")
    for host in (one, two, away):
        host.run(sys.executable, "-c", DETACH)
        assert len(host.processes()) == 1
    direct = two.start(["sleep", "1000"])
    assert len(two.processes()) == 2
    one.cut_power()
    assert (len(one.processes()), len(two.processes())) == (0, 2)
    one.run(sys.executable, "-c", DETACH)  # the host is back
    sites.primary.cut_power()
    assert direct.wait(10) == -signal.SIGKILL
    assert (len(one.processes()), len(two.processes()), len(away.processes())) == (0, 0, 1)


def test_closing_leaves_nothing(sites: Sites) -> None:
    away = sites.recovery.add_host("away")
    away.run(sys.executable, "-c", DETACH)
    (pid,) = away.processes()
    assert left_of(prefix_of(sites))
    sites.close()
    sites.close()
    assert not left_of(prefix_of(sites))
    assert not power.started_at(pid)


@pytest.fixture
def group() -> Iterator[Path]:
    home = power.control_groups()
    assert home is not None
    top = home / f"bsc-test-{os.getpid()}"
    (top / "host").mkdir(parents=True)
    yield top
    if top.exists():
        removal.remove_group(top)


def in_group(group: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a process in a control group; it is in it when this returns."""
    process = subprocess.Popen(words)
    (group / "cgroup.procs").write_text(str(process.pid))
    return process


def test_a_control_group_is_removed_once_the_last_of_its_processes_is_gone(group: Path) -> None:
    with in_group(group / "host", "sleep", "0.5") as process:
        removal.remove_group(group)
        assert not power.started_at(process.pid)
    assert not group.exists()


def test_a_control_group_whose_processes_do_not_end_is_an_error(group: Path) -> None:
    with in_group(group / "host", "sleep", "1000") as process:
        with pytest.raises(TimeoutError, match=f"the end of all processes in {group}"):
            removal.remove_group(group, 0.1)
        assert group.exists()
        process.kill()


def test_sites_that_could_not_be_removed_say_so() -> None:
    sites = Sites()
    prefix = prefix_of(sites)
    os.kill(sites._wan.pid, signal.SIGKILL)
    with pytest.raises(ToolFailed, match="something of the sites is left"):
        sites.close()
    assert left_of(prefix)
    removal.remove(prefix)
    assert not left_of(prefix)


def cut_off(sites: Sites, definitions: list[MachineDefinition]) -> None:
    """Let machines run on hosts of one site until they have heard of each other, and cut its power."""
    guests = []
    for definition in definitions:
        host = sites.primary.add_host(definition.name)
        wire = f"tap,id=wire,ifname={host.tap('tap0')},script=no,downscript=no"
        card = ["-netdev", wire, "-device", f"virtio-net-pci,netdev=wire,mac=02:00:00:00:00:0{len(guests)}"]
        guests.append(machines.guest(definition, card, within=host.entering()).start())
    for guest in guests:
        guest.hear("ledger: acknowledged", 200)
    begun = [len(guest.console) for guest in guests]
    pairs = list(zip(guests, begun, strict=True))
    wait_until(lambda: all(guest.console.count("\n", at) > 3 for guest, at in pairs), 60)
    sites.primary.cut_power()
    assert not [pid for host in sites.primary.hosts.values() for pid in host.processes()]
    for guest in guests:
        guest.kill()  # it is dead already; this waits for it


def test_the_machines_of_a_site_hear_each_other_and_lose_their_power_together(tmp_path: Path) -> None:
    definitions = [machines.make(Keeping(name, disks=1), tmp_path / name) for name in ("alpha", "beta")]
    with Sites() as sites:
        cut_off(sites, definitions)
    with ExitStack() as stack:
        disks = {
            definition.name: stack.enter_context(ledger.opened(*machines.ledger_disks(definition)))
            for definition in definitions
        }
        verdicts = ledger.judge_group(disks)
    alpha, beta = verdicts["alpha"], verdicts["beta"]
    assert (alpha.heard or {}).keys() == {beta.birth}
    assert (beta.heard or {}).keys() == {alpha.birth}


LAB = """
import sys
from lab.sites import Sites
sites = Sites()
host = sites.primary.add_host("one")
host.run(sys.executable, "-c", sys.argv[1])
print(sites.primary.namespace.partition("-")[0], host.processes()[0], sites._wan.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("keeper_too", [False, True])
def test_a_lab_that_is_killed_leaves_nothing(keeper_too: bool) -> None:
    words = [sys.executable, "-c", LAB, DETACH]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        prefix, *pids = lab.stdout.readline().split()
        sleeper, keeper = map(int, pids)
        assert power.started_at(sleeper)
        if keeper_too:
            os.kill(keeper, signal.SIGKILL)
        lab.kill()
    if keeper_too:
        assert left_of(prefix)
        removal.remove_orphans()
    else:
        wait_until(lambda: not left_of(prefix))
    assert not left_of(prefix)
    wait_until(lambda: not power.started_at(sleeper))


def test_sites_of_a_lab_that_lives_are_no_orphans(sites: Sites) -> None:
    host = sites.primary.add_host("one")
    host.run(sys.executable, "-c", DETACH)
    removal.remove_orphans()
    assert len(host.processes()) == 1
