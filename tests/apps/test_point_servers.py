"""Point servers as processes: they outlive who started them, and end when they are told to (R-FO-6)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.point_servers import PointServers
from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.objects.local import LocalStore
from bascule.model.errors import Refused
from bascule.ports.serving import Served
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from lab.waiting import wait_until
from tests.data.pipeline.worlds import Image, noise

pytestmark = pytest.mark.lab

SIZE = 1 << 20
CONTENT = noise(SIZE, 3)


class Place:
    """A store with a machine in it, and whoever serves that."""

    def __init__(self, room: Path) -> None:
        self.room = room
        key = KeyFile.create(room / "key", SystemIds())
        self.objects = LocalStore(room / "store", create=True)
        self.vault = Vault.init(self.objects, key, ids=SystemIds(), clock=SystemClock())
        spec = MachineSpec("web", "web", (DiskSpec("root", SIZE),))
        with self.vault.begin("shop", writer="test") as writer:
            capture = Capture([spec], {DiskKey("web", "root"): Image(CONTENT)}, 1.0)
            self.number = copy(writer, capture, Conduct(Meter(SystemClock()))).point.number
        self.served = Served(room / "served", "shop", self.number, "web", hydrate=False)
        self.servers = PointServers(
            [str(room / "store"), "--key-file", str(room / "key")], lambda: self.vault
        )

    def connect(self) -> Client:
        return Client.connect(Address.parse(self.servers.words(self.served.folder, "root")))

    def read(self, length: int = SIZE) -> bytes:
        found = bytearray(length)
        with closing(self.connect()) as client:
            client.read_into(0, memoryview(found))
        return bytes(found)

    def pins(self) -> list[str]:
        return [info.name for info in self.objects.list("pins/")]


@pytest.fixture
def place() -> Iterator[Place]:
    """A place whose name is short enough for a socket."""
    room = Path(tempfile.mkdtemp(prefix="servers-"))
    made = Place(room)
    yield made
    made.servers.stop(made.served.folder)
    made.objects.close()
    shutil.rmtree(room)


def test_a_point_is_served_until_it_is_thrown_away(place: Place) -> None:
    assert not place.servers.is_up(place.served.folder)
    for _ in range(2):
        place.servers.start(place.served)
    assert place.servers.is_up(place.served.folder)
    assert place.read() == CONTENT
    assert len(place.pins()) == 1
    for _ in range(2):
        place.servers.throw_away(place.served.folder)
    assert not place.served.folder.exists()
    assert place.pins() == []


def test_what_was_written_is_there_after_a_stop_and_after_a_kill(place: Place) -> None:
    place.servers.start(place.served)
    with closing(place.connect()) as client:
        client.write(0, memoryview(b"a" * 4096))
        client.flush()
    for _ in range(2):
        place.servers.stop(place.served.folder)
    place.servers.start(place.served)
    with closing(place.connect()) as client:
        client.write(4096, memoryview(b"b" * 4096))
    pid = int((place.served.folder / "lock").read_text().split()[-1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not place.servers.is_up(place.served.folder), 30)
    wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not _runs(pid), 30)
    place.servers.start(place.served)
    assert place.read(8192) == b"a" * 4096 + b"b" * 4096


def _runs(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/cmdline").read_bytes())


STARTER = """
import sys
from pathlib import Path
from bascule.apps.point_servers import PointServers
from bascule.ports.serving import Served
folder, number, *store = sys.argv[1:]
PointServers(store, lambda: None).start(Served(Path(folder), "shop", int(number), "web", False))
"""


def test_a_server_outlives_who_started_it(place: Place) -> None:
    words = [str(place.served.folder), str(place.number), str(place.room / "store")]
    words += ["--key-file", str(place.room / "key")]
    subprocess.run([sys.executable, "-c", STARTER, *words], check=True)
    assert place.read() == CONTENT


@pytest.mark.parametrize("with_client", [False, True])
def test_a_server_hears_that_it_is_to_end_while_clients_come_and_go(place: Place, with_client: bool) -> None:
    for _ in range(3):
        place.servers.start(place.served)
        client = place.connect()
        client.read_into(0, memoryview(bytearray(4096)))
        place.servers.is_up(place.served.folder)  # somebody who connects and leaves at once
        if not with_client:
            client.close()
        place.servers.stop(place.served.folder)
        assert not place.servers.is_up(place.served.folder)
        client.close()


def test_what_cannot_be_served_is_said(place: Place) -> None:
    with pytest.raises(Refused, match=r"no machine ghost \(it has web\)"):
        place.servers.start(Served(place.room / "other", "shop", place.number, "ghost", hydrate=False))
    with pytest.raises(Refused, match="shorter"):
        place.servers.words(place.room / ("x" * 120), "root")
