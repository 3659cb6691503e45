from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client

MIB = 1 << 20
# Each starts a server of its own.
pytestmark = pytest.mark.lab


class Served:
    """A point server as a process, and its disks by their addresses."""

    def __init__(self, process: subprocess.Popen[str], serving: dict[str, Any]) -> None:
        self.process = process
        self.serving = serving
        self.after: list[dict[str, Any]] = []

    def connect(self, disk: int = 0) -> Client:
        return Client.connect(Address.parse(self.serving["disks"][disk]["uri"]))

    def read(self, offset: int, length: int, disk: int = 0) -> bytes:
        client = self.connect(disk)
        buffer = bytearray(length)
        client.read_into(offset, memoryview(buffer))
        client.close()
        return bytes(buffer)

    def wait_for(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"it ended without saying {name}: {self.process.communicate()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.wait_for("stopped")
        return self.process.wait(60)


@contextmanager
def serving(desk, *words: str | Path) -> Iterator[Served]:
    with desk.start("serve-point", desk.store, *words, "--json") as process:
        try:
            served = Served(process, {})
            served.serving = served.wait_for("serving")
            yield served
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_point_is_served_until_a_signal_and_ends_in_order(stocked, number: signal.Signals) -> None:
    with serving(stocked, "web/latest") as served:
        uri = served.serving["disks"][0]["uri"]
        assert served.read(0, 3 * MIB) == stocked.path("web.raw").read_bytes()
        assert served.stop(number) == 0
    assert not Path(Address.parse(uri).path).parent.exists()


def test_every_disk_has_its_own_address(desk) -> None:
    desk.init()
    images = [desk.image(f"{name}.raw", (0, name.encode())) for name in ("root", "data")]
    desk.ok("copy", *images, desk.store, "--group", "shop", "--disk", "root", "--disk", "data")
    with serving(desk, "shop", "--socket", desk.path("nbd")) as served:
        uris = [disk["uri"] for disk in served.serving["disks"]]
        assert uris == [f"nbd+unix:///{name}?socket={desk.path('nbd')}" for name in ("root", "data")]
        assert (served.read(0, 4), served.read(0, 4, 1)) == (b"root", b"data")


def test_a_port_is_chosen_and_told(stocked) -> None:
    with serving(stocked, "web", "--listen", "127.0.0.1:0") as served:
        assert Address.parse(served.serving["disks"][0]["uri"]).port > 0
        assert served.read(MIB, MIB) == stocked.path("web.raw").read_bytes()[MIB : 2 * MIB]


def test_what_a_guest_wrote_is_there_again_and_the_point_is_as_it_was(stocked) -> None:
    words = ("web", "--folder", stocked.path("kept"), "--writable", "--socket", stocked.path("nbd"))
    with serving(stocked, *words) as served:
        client = served.connect()
        client.write(4096, memoryview(b"guest" * 1000))
        client.flush()
        client.close()
        served.stop()
    with serving(stocked, *words) as served:
        assert served.read(4096, 5000) == b"guest" * 1000
        assert served.read(0, 4) == b"boot"
    stocked.ok("restore", stocked.store, "web", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == stocked.path("web.raw").read_bytes()


def test_a_hydrated_machine_needs_neither_store_nor_key(stocked) -> None:
    words = ("web", "--folder", stocked.path("kept"), "--hydrate", "--socket", stocked.path("nbd"))
    with serving(stocked, *words) as served:
        assert served.wait_for("hydrated")["disks"] == {"disk0": "complete"}
        served.stop()
    Path(stocked.store).rename(stocked.path("away"))
    stocked.path("main.key").unlink()
    with serving(stocked, *words) as served:
        assert served.read(0, 3 * MIB) == stocked.path("web.raw").read_bytes()


def test_a_folder_that_is_thrown_away_lets_go_of_its_point(stocked) -> None:
    with serving(stocked, "web", "--folder", stocked.path("kept"), "--writable") as served:
        served.stop()
    pins = Path(stocked.store) / "pins"
    assert [path for path in pins.rglob("*") if path.is_file()]
    stocked.ok("serve-point", stocked.store, "web", "--folder", stocked.path("kept"), "--discard")
    assert not stocked.path("kept").exists()
    assert not [path for path in pins.rglob("*") if path.is_file()]


def test_the_point_that_is_served_survives_a_sweep(stocked) -> None:
    image = stocked.path("web.raw").read_bytes()
    with serving(stocked, "web/1") as served:
        for _ in range(2):
            stocked.ok("copy", stocked.image("web.raw", (MIB, os.urandom(MIB))), stocked.store)
        stocked.ok("store", "sweep", stocked.store, "--keep", "5000w:5000w")
        assert served.read(0, 3 * MIB) == image


@pytest.mark.parametrize(
    "words",
    [
        ("web", "--listen", "0.0.0.0:0"),
        ("web", "--listen", "nowhere"),
        ("web", "--socket", "a", "--listen", "127.0.0.1:0"),
        ("web", "--writable"),
        ("web", "--discard"),
        ("web", "--machine", "other"),
        ("web/7",),
        ("web", "--no-pin", "--folder", "kept"),
        ("none",),
        ("web", "--listen", "127.0.0.1:0", "--tls-certificates", "/nowhere"),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_cure(stocked, words: tuple[str, ...]) -> None:
    refused = stocked.run("serve-point", stocked.store, *words, "--json")
    assert refused.code == 2
    assert refused.error["cure"]
    assert "serving" not in refused.out


def test_a_point_can_be_served_without_a_pin(stocked) -> None:
    with serving(stocked, "web", "--no-pin") as served:
        assert not [path for path in (Path(stocked.store) / "pins").rglob("*") if path.is_file()]
        assert served.read(0, 4) == b"boot"


def test_a_folder_serves_one_machine_at_one_point(stocked) -> None:
    stocked.ok("copy", stocked.path("web.raw"), stocked.store)
    with serving(stocked, "web/1", "--folder", stocked.path("kept"), "--writable") as served:
        served.stop()
    refused = stocked.run(
        "serve-point", stocked.store, "web/3", "--folder", stocked.path("kept"), "--writable"
    )
    assert refused.code == 2
    assert "web/1" in refused.err


def test_qemu_reads_a_served_point(stocked) -> None:
    with serving(stocked, "web", "--socket", stocked.path("nbd")) as served:
        uri = served.serving["disks"][0]["uri"]
        compared = subprocess.run(
            ["qemu-img", "compare", "-f", "raw", "-F", "raw", uri, stocked.path("web.raw")], check=False
        )
    assert compared.returncode == 0
