"""What others' NBD tools make of a served machine, and what a killed server leaves of a guest's writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock
from bascule.data.instant.holding import Wanted
from bascule.data.instant.server import PointServer, Terms
from bascule.data.store import BLOCK
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import BasculeError, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from tests.data.instant.points import GROUP, MACHINE, content, opened, vault

pytestmark = pytest.mark.lab

SECTOR = 4096
ROOT = content(80 * BLOCK + 5 * 512, seed=1)
DATA = content(6 * BLOCK, seed=2)


class Place:
    """A store with a machine, and where it is served."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects = LocalStore(path / "store", create=True)
        vault({"root": ROOT, "data": DATA}, self.objects)
        (path / "root.raw").write_bytes(ROOT)
        (path / "data.raw").write_bytes(DATA)

    def uri(self, disk: str) -> str:
        return f"nbd+unix:///{disk}?socket={self.path}/socket"

    def server(self, *, writable: bool) -> PointServer:
        return PointServer(
            lambda: opened(self.objects),
            Wanted(GROUP, None, MACHINE),
            Terms(Address(path=str(self.path / "socket")), writable=writable),
            SystemClock(),
            self.path / "served" if writable else None,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.objects.close()


@pytest.fixture(params=[False, True], ids=["read-only", "overlay"])
def served(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    server = place.server(writable=request.param)
    server.start()
    yield place
    server.stop()


def run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def test_qemu_img_finds_every_disk_equal(served: Place) -> None:
    for disk in ("root", "data"):
        said = run(
            "qemu-img", "compare", "-f", "raw", "-F", "raw", served.path / f"{disk}.raw", served.uri(disk)
        )
        assert "identical" in said


@pytest.mark.parametrize("connections", [1, 4])
def test_nbdcopy_copies_every_byte(served: Place, connections: int) -> None:
    run("nbdcopy", f"--connections={connections}", served.uri("root"), served.path / "copy")
    assert (served.path / "copy").read_bytes() == ROOT


def test_nbdinfo_lists_disks_and_holes(served: Place) -> None:
    listed = json.loads(run("nbdinfo", "--json", "--list", served.uri("")))
    assert {export["export-name"]: export["export-size"] for export in listed["exports"]} == {
        "root": len(ROOT),
        "data": len(DATA),
    }
    holes = json.loads(run("nbdinfo", "--json", "--map", served.uri("data")))
    assert [(part["offset"], part["length"]) for part in holes if part["type"] == 3] == [(BLOCK, 2 * BLOCK)]


def test_qemu_io_writes_zeroes_and_trims_what_it_then_finds(place: Place) -> None:
    deeds = [
        "write -P 0xab 4000 3000",
        "write -P 0xcd -f 65536 65536",
        "write -z 200000 100000",
        "discard 524288 131072",
        "flush",
    ]
    finds = [
        "read -P 0xab 4000 3000",
        "read -P 0xcd 65536 65536",
        "read -P 0 200000 100000",
        "read -P 0 524288 131072",
    ]
    for commands in (deeds + finds, finds):
        server = place.server(writable=True)
        server.start()
        try:
            said = run(
                "qemu-io", "-f", "raw", *(word for c in commands for word in ("-c", c)), place.uri("root")
            )
            assert "verification failed" not in said
        finally:
            server.stop()


class Writer:
    """Writes sector after sector at random places and remembers what was acknowledged, and what may be."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self.now = bytearray(ROOT)
        self.maybe: tuple[int, bytes] = (0, b"")

    def write_until_it_breaks(self, socket: Path) -> None:
        try:
            with Client.connect(Address(path=str(socket), export="root")) as client:
                while True:
                    self._write(client)
        except BasculeError:
            return

    def _write(self, client: Client) -> None:
        length = self._chance.choice([512, SECTOR, 3 * SECTOR + 100])
        offset = self._chance.randrange(len(ROOT) - length)
        data = self._chance.randbytes(length)
        self.maybe = (offset, data)
        client.write(offset, memoryview(data), fua=self._chance.random() < 0.1)
        self.now[offset : offset + length] = data
        self.maybe = (0, b"")

    def check(self, seen: bytes) -> None:
        after = bytearray(self.now)
        offset, data = self.maybe
        after[offset : offset + len(data)] = data
        for at in range(0, len(seen), SECTOR):
            assert seen[at : at + SECTOR] in (self.now[at : at + SECTOR], after[at : at + SECTOR])
        self.now[:] = seen


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_while_a_guest_writes_loses_nothing_acknowledged(place: Place, seed: int) -> None:
    writer = Writer(seed)
    for turn in range(3):
        operation = 150 + Random(f"{seed} {turn}").randrange(400)
        places = [place.path / "store", place.path / "served", place.path / "socket"]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.data.instant.dying_server", *map(str, places), str(operation)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process:
            until_served(process, places[2])
            writer.write_until_it_breaks(places[2])
            assert process.wait(60) == -signal.SIGKILL
        server = place.server(writable=True)
        server.start()
        try:
            with Client.connect(Address(path=str(places[2]), export="root")) as client:
                seen = bytearray(len(ROOT))
                client.read_into(0, memoryview(seen))
            writer.check(bytes(seen))
        finally:
            server.stop()


def until_served(process: subprocess.Popen[bytes], socket: Path) -> None:
    turn = threading.Event()
    for _ in range(1200):
        try:
            Client.connect(Address(path=str(socket), export="root")).close()
        except Unavailable:
            if process.poll() is not None:
                return
            turn.wait(0.05)
            continue
        return
    pytest.fail("the server did not start")
