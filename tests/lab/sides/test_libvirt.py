"""Machines go over to a host of libvirt and come home, by the commands that people type.

They come from another one, or from a host of QEMU machines in a folder. As distributions have it: daemons
are root, and their machines are not (R-FO-6).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import KeyFile, Vault
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.drivers.objects.local import LocalStore
from bascule.model.machines import Power, written
from lab import machines
from lab.machines import Keeping
from lab.sites import Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Failed, Stand
from lab.waiting import wait_until
from tests.servers.libvirtd import Libvirtd, running

libvirt = pytest.importorskip("libvirt", reason="make check does without it; make test builds it")

pytestmark = pytest.mark.lab


class Side(Stand):
    """A host and the command line there."""

    def protect(self, group: str, *more: str) -> None:
        """Replicate the machine into a group, until it has a point."""
        self.run("protect", f"{self.words}#{MACHINE}", "store", "--group", group, "--every", "1s", *more)
        self.begin("provider", "run", f"{self.name}-provider")
        wait_until(lambda: self.points(group) > 0, PATIENCE_SECONDS, f"a point of {group}")

    def points(self, group: str) -> int:
        vault = Vault.open(
            LocalStore(self.folder / "store"),
            KeyFile.read(self.folder / "main.key"),
            ids=SystemIds(),
            clock=SystemClock(),
        )
        return len(vault.points(group)) if group in vault.groups() else 0

    def works(self) -> None:
        """Have the machine at work here, and a store."""
        definition = machines.make(Keeping(MACHINE, disks=1), self.folder / "images")
        (self.folder / "shop.json").write_text(written(definition))
        self.run("machine", "define", MACHINE, "--file", "shop.json")
        self.run("machine", "start", MACHINE)
        self.run("key", "create", "main.key")
        self.run("store", "init", "store")
        self.wait_for_console("ledger: acknowledged")


class LibvirtSide(Side):
    """A host with a daemon and a mount namespace of its own."""

    def __init__(self, name: str, folder: Path, daemon: Libvirtd) -> None:
        home = folder / name
        home.mkdir(mode=0o755)
        words = f"libvirt+unix:///system?socket={daemon.room}/libvirt-sock&folder={home}"
        super().__init__(
            name, folder, daemon, words, LibvirtHost(daemon.uri, home, SystemClock(), SystemIds(), "tcg")
        )
        self.daemon = daemon
        self.run("machine", "guard")
        daemon.kill()  # it finds its first hook when it starts

    def start_past_us(self) -> str:
        """Start the machine as ``virsh start`` does; return why it stays off, empty if it runs."""
        try:
            self._domain().create()
        except libvirt.libvirtError as error:
            return str(error)
        return ""

    def kill_point_servers(self) -> None:
        """Kill what serves disks here, and nothing else."""
        self.daemon.run("sh", "-c", "kill -KILL $(pgrep -f [b]ascule.apps.point_server)")

    def start_at_boot(self) -> None:
        """Have libvirt start the machine whenever the host boots."""
        self._domain().setAutostart(1)

    def _domain(self) -> libvirt.virDomain:
        self.connection = libvirt.open(self.daemon.uri)
        return self.connection.lookupByName(MACHINE)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name that everybody may pass."""
    with tempfile.TemporaryDirectory(prefix="bsc-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def two(folder: Path) -> Iterator[LibvirtSide]:
    with running("nobody") as daemon:
        yield LibvirtSide("two", folder, daemon)


@pytest.fixture
def one(folder: Path) -> Iterator[LibvirtSide]:
    with running("nobody") as daemon:
        yield LibvirtSide("one", folder, daemon)


def test_a_machine_goes_over_to_another_host_and_comes_home(one: LibvirtSide, two: LibvirtSide) -> None:
    one.works()
    one.start_at_boot()
    one.protect(MACHINE)

    two.run("replica", "test", "store", MACHINE)
    two.wait_until_up(f"{MACHINE}-test")
    two.run("replica", "clean-up", "store", MACHINE, "--notes", "boots, ledger sound")
    assert one.points(MACHINE) > 1, "replication went on beside the test"

    one.daemon.cut_power()
    two.run("replica", "fail-over", "store", MACHINE)
    taken = two.wait_until_up(MACHINE)
    assert taken > 0
    two.run("replica", "commit", "store", MACHINE)
    two.protect(f"{MACHINE}~2", "--take-over")
    one.daemon.boot()
    assert one.power() is Power.OFF, "nothing starts at boot on the side that it left"
    assert f"is to {MACHINE}~2 now" in one.start_past_us()

    one.run("replica", "fail-back", "store", MACHINE)
    two.kill_point_servers()
    two.run("replica", "hand-over", "store", MACHINE)  # serves again, and QEMU, another user, comes back
    assert "was handed over" in two.start_past_us(), "its disks are still served, and it stays off"
    last = two.closed_at()
    one.run("replica", "fail-back", "store", MACHINE)
    assert one.wait_until_up(MACHINE) == last > taken, "nothing is lost on the way home"
    one.run("replica", "commit", "store", MACHINE)
    two.run("replica", "release", "store", MACHINE)
    one.run("machine", "kill", MACHINE)
    assert one.start_past_us() == "", "at home anybody may start it"


def test_a_machine_goes_over_from_a_host_of_qemu_and_comes_home(folder: Path, two: LibvirtSide) -> None:
    with Sites() as sites:
        computer = sites.primary.add_host("one")
        one = Side("one", folder, computer)
        one.works()
        one.protect(MACHINE)

        computer.cut_power()
        two.run("replica", "fail-over", "store", MACHINE)
        taken = two.wait_until_up(MACHINE)
        two.run("replica", "commit", "store", MACHINE)
        two.protect(f"{MACHINE}~2", "--take-over")
        with pytest.raises(Failed):
            one.run("machine", "start", MACHINE)

        one.run("replica", "fail-back", "store", MACHINE)
        two.run("replica", "hand-over", "store", MACHINE)
        last = two.closed_at()
        moved = one.run_json("replica", "fail-back", "store", MACHINE)
        assert one.wait_until_up(MACHINE) == last > taken > 0, "nothing is lost on the way home"
        assert moved["written_bytes"] < 16 << 20, "only what changed travels, whoever wrote it"
        one.run("replica", "commit", "store", MACHINE)
        two.run("replica", "release", "store", MACHINE)
        assert two.power() is Power.OFF
