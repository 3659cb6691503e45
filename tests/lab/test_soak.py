"""A group of writing machines, with and without iothreads, and a collector that is killed again and again.

Every point that ever becomes listed is judged: an exact prefix of the history of each disk, later than
the point before. After every kill the machines run, and the next collector goes on with a delta.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.drivers.objects.local import LocalStore
from lab import stamps
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

BLOCKS = 1024
DISK_BYTES = 64 << 20
COMMAND = Path(sys.executable).with_name("bascule")
MACHINES = {"web": ("", ",iothread=io0"), "db": (",iothread=io0",)}
"""Each machine's disks, and what QEMU is told of them."""


class Machine:
    """A stamping guest, and a monitor of it that nobody else uses."""

    def __init__(self, room: Path, disks: tuple[str, ...]) -> None:
        room.mkdir()
        self.qmp = room.with_suffix(".qmp")
        drives: list[str] = []
        for number, options in enumerate(disks):
            image = room / f"disk{number}.qcow2"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, str(DISK_BYTES)], check=True)
            node = f"driver=qcow2,node-name=d{number},file.driver=file,file.filename={image},discard=unmap"
            device = f"virtio-blk-pci,id=disk{number},drive=d{number}{options}"
            drives += ["-blockdev", node, "-device", device]
        self.guest = stamps.stamping(room, drives, blocks=BLOCKS, pause_us=1000, qmp=self.qmp)
        watch = f"unix:{room / 'watch'},server=on,wait=off"
        self.guest.options = ["-object", "iothread,id=io0", "-qmp", watch, *self.guest.options]
        self.guest.start()
        self.guest.hear("stamped 1", seconds=180)
        self.monitor = Monitor.connect(room / "watch")

    def runs(self) -> bool:
        return bool(self.monitor.execute("query-status")["running"])

    def close(self) -> None:
        self.monitor.close()
        self.guest.kill()


class Soak:
    """A site, and what was seen of it."""

    def __init__(self, room: Path, undo: ExitStack, seed: int) -> None:
        self.room = room
        self.chance = Random(seed)
        self.machines: dict[str, Machine] = {}
        for name, disks in MACHINES.items():
            self.machines[name] = Machine(room / name, disks)
            undo.callback(self.machines[name].close)
        key = KeyFile.create(room / "main.key", SystemIds())
        objects = LocalStore(room / "store", create=True)
        self.vault = Vault.init(objects, key, ids=SystemIds(), clock=SystemClock())
        disks_of_all = [(name, number) for name, disks in MACHINES.items() for number in range(len(disks))]
        self.judges = {DiskKey(name, f"disk{number}"): stamps.Judge(BLOCKS) for name, number in disks_of_all}
        self.begun = time.monotonic()
        self.judged = 0
        self.newest = -1
        self.kills = 0
        self.held: list[float] = []
        self.took: list[float] = []

    def collector(self) -> subprocess.Popen[str]:
        words = [COMMAND, "replicate", *(machine.qmp for machine in self.machines.values())]
        words += [self.room / "store", "--group", "soak", "--every", "0s", "--json"]
        return subprocess.Popen(
            [*words, "--key-file", self.room / "main.key"], stdout=subprocess.PIPE, text=True
        )

    def round(self) -> None:
        """Let a collector make some points and kill it somewhere in the next one, or in its first."""
        with self.collector() as process:
            assert process.stdout is not None
            for number in range(self.chance.randrange(0, 12)):
                self.hear(json.loads(process.stdout.readline()), is_first=number == 0)
            select.select([], [], [], self.chance.random() * 0.4)
            process.kill()
            self.kills += 1
            for line in process.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    self.hear(json.loads(line), is_first=False)
        for name, machine in self.machines.items():
            wait_until(machine.runs, seconds=60)
            assert machine.guest._process.poll() is None, f"{name} is gone: {machine.guest.console[-500:]}"
        self.judge()

    def hear(self, event: dict, *, is_first: bool) -> None:
        assert event["event"] == "point", event
        assert (event["compared"], event["absent"]) == ([], {}), "not a delta of all machines"
        self.held.append(event["held_seconds"])
        if not is_first:
            self.took.append(event["seconds"])

    def judge(self) -> None:
        """Judge every point that is listed and was not judged yet."""
        for point in self.vault.points("soak"):
            if point.number <= self.newest:
                continue
            assert point.complete
            with self.vault.peek("soak", point.number) as reader:
                for key, judge in self.judges.items():
                    image = bytearray(BLOCKS * stamps.BLOCK)
                    reader.disk(key).read_into(0, memoryview(image))
                    before = judge.last
                    assert judge.judge(image) >= before
            self.newest = point.number
            self.judged += 1

    def tell(self) -> None:
        """Say how it goes, to who runs this with ``-s``."""
        held, took = sorted(self.held), sorted(self.took)
        figures = {
            "points": self.judged,
            "kills": self.kills,
            "held_ms_median": round(held[len(held) // 2] * 1000, 1),
            "held_ms_worst": round(held[-1] * 1000, 1),
            "cycle_ms_median": round(took[len(took) // 2] * 1000, 1),
            "writes": sum(judge.last for judge in self.judges.values()),
            "seconds": round(time.monotonic() - self.begun),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "points", [20, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(7200)])]
)
def test_every_point_is_exact_however_often_the_collector_is_killed(
    tmp_path: Path, undo: ExitStack, points: int
) -> None:
    soak = Soak(tmp_path, undo, seed=points)
    while soak.judged < points:
        soak.round()
        if soak.kills % 10 == 0:
            soak.tell()
    soak.tell()
    assert soak.kills >= points // 20
