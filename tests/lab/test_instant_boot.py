"""A real QEMU boots from a recovery point, at once, and what it writes is kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock
from bascule.data.instant.holding import Wanted
from bascule.data.instant.hydrate import Hydrating
from bascule.data.instant.server import PointServer, Terms
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from lab.guests import Guest, ext4_image, initramfs, nbd_drive
from tests.data.instant.points import GROUP, MACHINE, opened, vault

pytestmark = pytest.mark.lab

ROOT_BYTES = (64 << 20) + 12 * 1024  # not a multiple of 64 KiB
BOOT = """
mount -t ext4 /dev/vda /mnt || exit 1
say "found: $(cat /mnt/etc/motd)"
[ "$(sha256sum < /mnt/big)" = "$(cat /mnt/big.sum)" ] && say "big is whole"
echo "written by the guest, boot {boot}" > /mnt/boot-{boot}
dd if=/dev/zero of=/mnt/zeroes bs=64k count=16 2> /dev/null
cat /mnt/big /mnt/big > /mnt/twice
: > /mnt/etc/motd.old
sync
mount -t ext4 /dev/vdb /mnt && cat /mnt/name > /dev/console
say "boot {boot} is done"
"""


class Machine:
    """A machine with two disks in a store, and what serves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.big = bytes(range(256)) * 20_000
        files = {
            "etc/motd": b"welcome back",
            "etc/motd.old": b"x" * 100_000,
            "big": self.big,
            "big.sum": f"{hashlib.sha256(self.big).hexdigest()}  -\n".encode(),
        }
        root = ext4_image(path / "root.raw", ROOT_BYTES, files)
        data = ext4_image(path / "data.raw", 8 << 20, {"name": b"the data disk\n"})
        self.objects = LocalStore(path / "store", create=True)
        vault({"root": root.read_bytes(), "data": data.read_bytes()}, self.objects)

    def serve(self, *, hydrate: bool = False) -> PointServer:
        server = PointServer(
            lambda: opened(self.objects),
            Wanted(GROUP, None, MACHINE),
            Terms(
                Address(path=str(self.path / "socket")), writable=True, hydrate=hydrate, settling_seconds=0
            ),
            SystemClock(),
            self.path / "served",
        )
        server.start()
        return server

    def guest(self, boot: int) -> Guest:
        initrd = initramfs(self.path / f"initrd-{boot}", BOOT.format(boot=boot))
        socket = self.path / "socket"
        return Guest(initrd, [*nbd_drive(0, socket, "root"), *nbd_drive(1, socket, "data")])

    def check_root(self, boots: int) -> None:
        """Copy the disk out and look into it without mounting."""
        image = self.path / "copy.raw"
        image.unlink(missing_ok=True)
        subprocess.run(["nbdcopy", f"nbd+unix:///root?socket={self.path}/socket", image], check=True)
        # The guest synced but did not unmount: once the journal is replayed there is nothing to mend.
        assert (
            subprocess.run(["/usr/sbin/e2fsck", "-p", image], capture_output=True, check=False).returncode
            <= 1
        )
        subprocess.run(["/usr/sbin/e2fsck", "-fn", image], check=True, capture_output=True)
        for boot in range(boots):
            assert self._cat(image, f"/boot-{boot}") == f"written by the guest, boot {boot}\n".encode()
        assert self._cat(image, "/zeroes") == bytes(1 << 20)
        assert self._cat(image, "/twice") == self.big * 2
        assert self._cat(image, "/etc/motd.old") == b""

    def _cat(self, image: Path, name: str) -> bytes:
        command = ["/usr/sbin/debugfs", "-R", f"cat {name}", image]
        return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.objects.close()


def test_a_guest_boots_from_a_point_and_finds_its_writes_again(machine: Machine) -> None:
    for boot in range(2):
        server = machine.serve()
        try:
            with machine.guest(boot) as guest:
                said = guest.wait()
            assert "found: welcome back" in said
            assert "big is whole" in said
            assert "the data disk" in said
            assert f"boot {boot} is done" in said
            machine.check_root(boot + 1)
            assert 10 << 20 < server.status.disks[0].written_bytes < 40 << 20
        finally:
            server.stop()


def test_a_guest_boots_while_its_disk_is_hydrated_and_then_without_the_store(machine: Machine) -> None:
    server = machine.serve(hydrate=True)
    try:
        with machine.guest(0) as guest:
            assert "boot 0 is done" in guest.wait()
        assert server.settled.wait(60)
        states = [disk.hydration.state for disk in server.status.disks if disk.hydration]
        assert states == [Hydrating.COMPLETE] * 2
    finally:
        server.stop()
    (machine.path / "store").rename(machine.path / "gone")
    server = machine.serve(hydrate=True)
    try:
        with machine.guest(1) as guest:
            assert "boot 1 is done" in guest.wait()
        machine.check_root(2)
    finally:
        server.stop()


UNFLUSHED = """
dd if=/dev/urandom of=/all bs=64k count=60 2> /dev/null
dd if=/all of=/dev/vdb bs=64k oflag=direct 2> /dev/null
say "wrote without a flush"
told() { dd if=/dev/vda bs=512 count=1 skip=100000 iflag=direct 2> /dev/null | grep -q "go on"; }
until told; do sleep 1; done
dd if=/dev/vdb bs=64k count=60 iflag=direct 2> /dev/null | cmp - /all && say "all of it is there"
"""


def test_a_guest_loses_no_write_when_its_disk_server_is_killed(machine: Machine) -> None:
    """It never flushed, and nobody tells it: what was acknowledged must be there for the next server."""
    initrd = initramfs(machine.path / "initrd", UNFLUSHED)
    socket = machine.path / "socket"
    first = serve_apart(machine)
    with Guest(initrd, [*nbd_drive(0, socket, "root"), *nbd_drive(1, socket, "data")]) as guest:
        guest.hear("wrote without a flush")
        first.kill()
        first.wait()
        second = serve_apart(machine)
        with Client.connect(Address(path=str(socket), export="root")) as client:
            client.write(100_000 * 512, memoryview(b"go on"))
        assert "all of it is there" in guest.wait()
    second.kill()
    second.wait()


def serve_apart(machine: Machine) -> subprocess.Popen[bytes]:
    """Serve in a process of its own, and wait until it does."""
    places = [machine.path / "store", machine.path / "served", machine.path / "socket"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.data.instant.dying_server", *map(str, places), "0"],
        stdin=subprocess.PIPE,
    )
    turn = threading.Event()
    for _ in range(600):
        try:
            Client.connect(Address(path=str(places[2]), export="root")).close()
        except Unavailable:
            turn.wait(0.05)
            continue
        return process
    process.kill()
    raise TimeoutError("the server did not start")
