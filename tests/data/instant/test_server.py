from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock
from bascule.data.instant.export import WRITTEN
from bascule.data.instant.holding import Wanted
from bascule.data.instant.hydrate import Hydrating
from bascule.data.instant.local import journal
from bascule.data.instant.overlay import GuestSince
from bascule.data.instant.server import PointServer, Terms, throw_away
from bascule.data.store import BLOCK, DiskKey, Vault
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from lab.waiting import wait_until
from tests.data.instant import dying_server
from tests.data.instant.points import GROUP, MACHINE, content, opened, vault

ROOT = content(9 * BLOCK + 777, seed=1)
DATA = content(6 * BLOCK, seed=2)
DISKS = {"root": ROOT, "data": DATA}
PINS = "pins/"

Serve = Callable[..., PointServer]


class Home:
    """A store with a point of a machine with two disks, a folder, and servers that are stopped at the end."""

    def __init__(self, path: Path) -> None:
        self.objects = MemoryStore()
        vault(DISKS, self.objects)
        self.path = path
        self.folder = path / "served"
        self._stack = ExitStack()
        self.opened = 0

    def points(self) -> Vault:
        self.opened += 1
        return opened(self.objects)

    def serve(
        self, *, folder: Path | None = None, wanted: Wanted | None = None, **terms: object
    ) -> PointServer:
        address = Address(path=str(self.path / "socket"))
        server = PointServer(
            self.points,
            wanted or Wanted(GROUP, None, MACHINE),
            Terms(**{"address": address, "settling_seconds": 0, **terms}),
            SystemClock(),
            folder,
        )
        server.start()
        self._stack.callback(server.stop)
        return server

    def client(self, disk: str = "root", contexts: tuple[str, ...] = ()) -> Client:
        path = str(self.path / "socket")
        client = Client.connect(Address(path=path, export=disk), contexts=contexts)
        self._stack.callback(client.close)
        return client

    def pins(self) -> tuple[str, ...]:
        return self.objects.names(PINS)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.close()


def read(client: Client, offset: int = 0, length: int | None = None) -> bytes:
    buffer = bytearray(client.size_bytes - offset if length is None else length)
    client.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def test_every_disk_is_served_read_only_at_once(home: Home) -> None:
    server = home.serve()
    for disk, data in DISKS.items():
        client = home.client(disk)
        assert client.read_only
        assert read(client) == data
    assert [disk.id for disk in server.status.disks] == ["root", "data"]
    assert len(home.pins()) == 1
    server.stop()
    assert home.pins() == ()


def test_a_disk_tells_where_it_is_empty(home: Home) -> None:
    home.serve()
    client = home.client("root", ("base:allocation",))
    assert list(client.extents("base:allocation", 0, 5 * BLOCK)) == [
        (0, BLOCK, 0),
        (BLOCK, 2 * BLOCK, 3),
        (3 * BLOCK, 2 * BLOCK, 0),
    ]


def test_what_a_guest_writes_is_there_after_a_restart_and_known_as_a_delta(home: Home) -> None:
    for turn in range(3):
        server = home.serve(folder=home.folder, writable=True)
        client = home.client("root", (WRITTEN,))
        if turn:
            assert read(client, 100, 5) == b"hello"
        client.write(100, memoryview(b"hello"), fua=True)
        dirty = [(offset, length) for offset, length, flags in client.extents(WRITTEN) if flags & 1]
        assert dirty == [(0, 4096)]
        assert server.status.disks[0].written_bytes == 4096
        server.stop()
        assert len(home.pins()) == 1
        assert home.pins()[0].endswith("-d")


def test_a_folder_goes_on_with_its_own_point_only(home: Home) -> None:
    home.serve(folder=home.folder, writable=True).stop()
    for wanted in (Wanted(GROUP, 99, MACHINE), Wanted("other", None, MACHINE), Wanted(GROUP, None, "other")):
        with pytest.raises(Refused, match="serves web at point"):
            home.serve(folder=home.folder, writable=True, wanted=wanted)


def test_a_machine_that_is_not_there_is_missing_and_leaves_no_pin(home: Home) -> None:
    with pytest.raises(Missing, match="it has web"):
        home.serve(wanted=Wanted(GROUP, None, "db"))
    with pytest.raises(Missing):
        home.serve(folder=home.folder, writable=True, wanted=Wanted(GROUP, None, "db"))
    assert home.pins() == ()


def test_writes_without_a_folder_are_refused(home: Home) -> None:
    with pytest.raises(Refused, match="local folder"):
        home.serve(writable=True)


def test_two_servers_of_one_folder_are_refused(home: Home) -> None:
    home.serve(folder=home.folder, writable=True)
    with pytest.raises(Refused, match="in use by another process"):
        home.serve(folder=home.folder, writable=True, address=Address(path=str(home.path / "other")))


def test_a_hydrated_machine_needs_no_store(home: Home) -> None:
    server = home.serve(folder=home.folder, writable=True, hydrate=True)
    home.client("data").write(5, memoryview(b"mine"), fua=True)
    assert server.settled.wait(30)
    assert [disk.hydration.state for disk in server.status.disks if disk.hydration] == [
        Hydrating.COMPLETE
    ] * 2
    assert not server.status.needs_store
    assert home.pins() == ()
    server.stop()
    home.objects.fail(times=1 << 30)
    home.opened = 0
    again = home.serve(folder=home.folder, writable=True, hydrate=True)
    assert read(home.client("root")) == ROOT
    assert read(home.client("data")) == DATA[:5] + b"mine" + DATA[9:]
    assert not again.status.needs_store
    assert home.opened == 0


def test_throwing_away_releases_the_pin_and_removes_the_files(home: Home) -> None:
    home.serve(folder=home.folder, writable=True, hydrate=True).stop()
    throw_away(home.points, home.folder)
    assert home.pins() == ()
    assert not home.folder.exists()


def test_what_is_served_is_not_thrown_away(home: Home) -> None:
    home.serve(folder=home.folder, writable=True)
    with pytest.raises(Refused, match="in use"):
        throw_away(home.points, home.folder)


@pytest.mark.parametrize("fault", range(1, 24))
def test_a_store_that_fails_at_any_call_leaks_no_pin_and_loses_none(home: Home, fault: int) -> None:
    """Start and throw away, with the fault-th call of the store failing before or after its effect."""
    for when in ("before", "after"):
        home.objects.fail(at=fault, when=when)
        try:
            home.serve(folder=home.folder, writable=True).stop()
        except Unavailable:
            home.serve(folder=home.folder, writable=True).stop()
        home.objects.heal()
        assert len([name for name in home.pins() if name.endswith("-d")]) == 1
        home.objects.fail("delete", at=1 + fault % 2, when=when)
        try:
            throw_away(home.points, home.folder)
        except Unavailable:
            home.objects.heal()
            with pytest.raises(Refused, match="being thrown away"):
                home.serve(folder=home.folder, writable=True)
            throw_away(home.points, home.folder)
        home.objects.heal()
        assert not [name for name in home.pins() if name.endswith("-d")]


def test_a_store_away_gives_errors_if_nobody_may_wait_and_the_rest_goes_on(home: Home) -> None:
    server = home.serve(wait_seconds=0)
    client = home.client("root")
    assert read(client, 0, 10) == ROOT[:10]
    home.objects.fail("read", times=1 << 30)
    with pytest.raises(Unavailable, match="input/output error"):
        read(client, 8 * BLOCK, 10)
    assert server.status.store_is_away
    assert read(client, 0, BLOCK) == ROOT[:BLOCK]
    home.objects.heal()
    assert read(client) == ROOT


def test_a_store_away_makes_a_guest_wait_and_go_on(home: Home) -> None:
    server = home.serve(wait_seconds=None)
    waiting, quick = home.client("root"), home.client("root")
    read(waiting, 0, 10)
    home.objects.fail("read", times=1 << 30)
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.append(read(waiting, 8 * BLOCK, 10)))
    reader.start()
    assert read(quick, 0, BLOCK) == ROOT[:BLOCK]
    wait_until(lambda: server.status.store_is_away)
    home.objects.heal()
    reader.join(30)
    assert seen == [ROOT[8 * BLOCK : 8 * BLOCK + 10]]


def test_damage_hurts_its_range_and_is_told(home: Home) -> None:
    disk = opened(home.objects).peek(GROUP).disk(DiskKey(MACHINE, "root"))
    frame = next(iter(disk.runs())).frame
    assert frame is not None
    data = bytearray(home.objects.content(frame.source.name))
    data[frame.at + 9] ^= 1
    home.objects.tamper(frame.source.name, bytes(data))
    server = home.serve()
    root, other = home.client("root"), home.client("data")
    with pytest.raises(
        Unavailable, match=rf"bytes \d+ to \d+ of disk root of machine {MACHINE} at point {GROUP}/"
    ):
        read(root, 0, 4096)
    assert read(root, 4 * BLOCK) == ROOT[4 * BLOCK :]
    assert read(other) == DATA
    assert "disk root" in server.status.disks[0].damaged[0]


def test_a_guest_elsewhere_is_not_served_a_disk_that_lost_its_writes(home: Home) -> None:
    server = home.serve(folder=home.folder, writable=True, address=Address("127.0.0.1", 0))
    server.stop()
    rename_boot(home.folder / "0-overlay" / "map")
    home.serve(folder=home.folder, writable=True, address=Address("127.0.0.1", 0)).stop()
    server = home.serve(folder=home.folder, writable=True)
    home.client().write(0, memoryview(b"not flushed"))
    overlay = server._disks[0].overlay
    assert overlay is not None
    overlay._fresh.__init__()
    server.stop()
    rename_boot(home.folder / "0-overlay" / "map")
    with pytest.raises(Damaged, match="lost writes"):
        home.serve(folder=home.folder, writable=True, address=Address("127.0.0.1", 0))
    home.serve(folder=home.folder, writable=True, guest=GuestSince.RESET)
    assert read(home.client(), 0, 10) == ROOT[:10]


def rename_boot(path: Path) -> None:
    """Make a journal say that it was written before the last boot."""
    data = path.read_bytes()
    fields = list(journal._HEAD.unpack_from(data))
    fields[2], fields[-1] = b"before".ljust(36, b"\0"), 0
    fields[-1] = journal.zlib.crc32(journal._HEAD.pack(*fields))
    path.write_bytes(journal._HEAD.pack(*fields) + data[journal._HEAD.size :])


STEPS = 100


@pytest.fixture(scope="module")
def local_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    with closing(LocalStore(path / "objects", create=True)) as objects:
        vault(DISKS, objects)
    return path / "objects"


# Processes that are forked from one that has all loaded begin in a tenth of the time.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.data.instant.dying_server"])


@pytest.mark.lab
def test_the_kills_below_cover_every_step(local_store: Path, tmp_path: Path) -> None:
    words = map(str, [local_store, tmp_path / "served", tmp_path / "socket", 0])
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.instant.dying_server", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout.split()[-1]) < STEPS


@pytest.mark.lab
@pytest.mark.parametrize("operation", range(1, STEPS))
def test_a_kill_at_any_step_of_hydration_loses_no_byte(
    local_store: Path, tmp_path: Path, operation: int
) -> None:
    words = [str(word) for word in (local_store, tmp_path / "served", tmp_path / "socket", operation)]
    process = FORKED.Process(target=dying_server.main, args=words)
    process.start()
    process.join(60)
    assert process.exitcode in (-signal.SIGKILL, 0)
    for turn in range(2):
        objects = LocalStore(local_store)
        address = Address(path=str(tmp_path / "socket"))
        server = PointServer(
            lambda objects=objects: opened(objects),
            Wanted(GROUP, None, MACHINE),
            Terms(address, writable=True, hydrate=turn == 0, settling_seconds=0),
            SystemClock(),
            tmp_path / "served",
        )
        server.start()
        try:
            for disk, data in DISKS.items():
                with Client.connect(Address(path=address.path, export=disk)) as client:
                    assert read(client) == data
            assert server.settled.wait(30)
            assert not server.status.needs_store
        finally:
            server.stop()
            objects.close()
    assert (tmp_path / "served" / "0-base" / "base").read_bytes() == ROOT
    # A reader's own pin may be left: it expires. One that never does must not be.
    assert not list((local_store / "pins").rglob("*-d"))
