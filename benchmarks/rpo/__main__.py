"""``python -m benchmarks.rpo``: print how many seconds a power cut loses, and what replication costs a guest.

A guest stamps 128 MiB of its disk with random 4 KiB writes, about 5 MB a second, while
``bascule replicate`` makes points of it. At a random instant guest and replication are killed. Lost
are the writes that the disk holds and the newest point does not, at the rate of that
round; and the point has to be an exact prefix of the history of writes, or the benchmark fails.
While one round is judged the guest of the next one boots, and nothing is measured.

Then one guest writes on with replication off, on, and off again, and says how long its writes took. The
stall is the longest write while two cycles began, beside the longest of as many seconds without any.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bascule.apps.tools import SystemTools
from bascule.data.store import DiskKey, KeyFile, Vault
from bascule.drivers.objects.local import LocalStore
from benchmarks.data.process import Failed, run, say
from benchmarks.report import OURS, Figure, Report
from lab import stamps
from lab.guests import Guest

_COMMAND: Final = Path(sys.executable).with_name("bascule")
_BLOCKS: Final = 32768
_DISK_BYTES: Final = 256 << 20
_PAUSE_US: Final = 200
_GROUP: Final = "ledger"
_TOLD: Final = re.compile(r"median (\d+) us, p99 (\d+) us, longest (\d+) us")
# Two cycles begin in it, at the interval of 5 s.
_ON_SECONDS: Final = 11.0
_PATIENCE_SECONDS: Final = 60.0


class _Writes(NamedTuple):
    """How long a thousand writes took, in microseconds."""

    median: int
    p99: int
    longest: int


class _Scene:
    """A stamping guest and an empty store."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bascule-rpo-")
        self.room = room = Path(self._folder.name)
        self.disk = room / "disk.qcow2"
        self.tools = SystemTools(os.environ | {"BASCULE_KEY_FILE": str(room / "main.key")})
        key = KeyFile.create(room / "main.key", self.tools.ids)
        objects = LocalStore(room / "store", create=True)
        self.vault = Vault.init(objects, key, ids=self.tools.ids, clock=self.tools.clock)
        # Clusters are there from the start: QEMU holds new ones in memory until the guest flushes, and
        # then the disk would not tell any more how far the guest was.
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata"]
        run([*words, self.disk, str(_DISK_BYTES)])
        node = f"driver=qcow2,node-name=d0,file.driver=file,file.filename={self.disk},discard=unmap"
        drives = ["-blockdev", node, "-device", "virtio-blk-pci,id=disk0,drive=d0"]
        self.guest = stamps.stamping(room, drives, blocks=_BLOCKS, pause_us=_PAUSE_US, qmp=room / "qmp")
        self.guest.start()
        self.guest.hear("stamped 1")
        self._begun = time.monotonic()
        self._lived = 0.0

    def close(self) -> None:
        """End the guest, and remove all that was."""
        self.guest.kill()
        self._folder.cleanup()

    @contextmanager
    def replicated(self, every: int) -> Iterator[subprocess.Popen[str]]:
        """Replicate inside the block, after a first point; then end it as a power cut does."""
        words: list[str | Path] = [
            _COMMAND,
            "replicate",
            self.room / "qmp",
            self.room / "store",
            "--group",
            _GROUP,
            "--json",
        ]
        settings = os.environ | {"BASCULE_KEY_FILE": str(self.room / "main.key")}
        process = subprocess.Popen(
            [*words, "--every", f"{every}s"], stdout=subprocess.PIPE, text=True, env=settings
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            # Nobody reads the others; a pipe holds what is said in many minutes.
            yield process
        finally:
            process.kill()
            process.communicate()

    def cut(self, process: subprocess.Popen[str]) -> None:
        """Cut the power of the machine and of who replicates it."""
        self._lived = time.monotonic() - self._begun
        process.kill()
        self.guest.kill()

    def judged(self) -> float:
        """Return the seconds that were lost, and remove all that was."""
        try:
            return self._lost()
        finally:
            self.close()

    def _lost(self) -> float:
        with self.vault.peek(_GROUP) as point:
            image = bytearray(_BLOCKS * stamps.BLOCK)
            (machine,) = point.info.machines
            point.disk(DiskKey(machine.id, "disk0")).read_into(0, memoryview(image))
        kept = stamps.judge(image)
        source = self.tools.open_source(str(self.disk))
        source.read_into(0, memoryview(image))
        source.close()
        written = stamps.judge(image)
        lost = (written - kept) / (written / self._lived)
        say(f"{written / self._lived:.0f} writes a second, {written - kept} lost: {lost:.2f} s")
        return lost


def _losses(every: int, rounds: int, chance: random.Random) -> list[float]:
    found: list[Future[float]] = []
    with ThreadPoolExecutor(1) as aside:
        for _ in range(rounds):
            scene = _Scene()
            wait(found)
            with scene.replicated(every) as process:
                # Not before the second cycle, and at every moment of a cycle alike.
                _pass(every * (1 + chance.random()))
                scene.cut(process)
            found.append(aside.submit(scene.judged))
    return [lost.result() for lost in found]


def _pass(seconds: float) -> None:
    """Let time pass: here it is what is measured, not what is waited for."""
    threading.Event().wait(seconds)


def _told(guest: Guest, seconds: float) -> list[_Writes]:
    """Return how each thousand writes of the next seconds went, of a guest that is slow for longer."""
    # The thousand that is under way was begun before.
    first = len(_TOLD.findall(guest.console)) + 1
    ends, patience = time.monotonic() + seconds, time.monotonic() + seconds + _PATIENCE_SECONDS
    while len(told := _TOLD.findall(guest.console)) <= first or time.monotonic() < ends:
        if time.monotonic() > patience:
            raise Failed(
                f"the guest wrote no thousand blocks in {_PATIENCE_SECONDS:.0f} s: is this host busy?"
            )
        _pass(0.5)
    return [_Writes(*map(int, words)) for words in told[first:]]


def _writes(rounds: int) -> list[Report]:
    median, tail, stall, control = (
        Report(Figure(f"write-{name}", "us", bench="rpo"))
        for name in ("median", "p99", "stall", "median-control")
    )
    scene = _Scene()
    try:
        for number in range(rounds):
            off = _told(scene.guest, _ON_SECONDS / 2)
            with scene.replicated(5):
                on = _told(scene.guest, _ON_SECONDS)
            again = _told(scene.guest, _ON_SECONDS / 2)
            say(f"round {number + 1}: off {off}, on {on}, off {again}")
            for who, seen in ((OURS, on), ("off", off + again)):
                median.add(who, statistics.median(each.median for each in seen))
                tail.add(who, statistics.median(each.p99 for each in seen))
                stall.add(who, max(each.longest for each in seen))
            for who, seen in ((OURS, again), ("off", off)):
                control.add(who, statistics.median(each.median for each in seen))
    finally:
        scene.close()
    return [median, tail, stall, control]


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.rpo", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="power cuts at each interval")
    rounds = parser.parse_args().rounds
    chance = random.Random(11)
    for every in (5, 1):
        say(f"{rounds} power cuts at an interval of {every} s")
        _print(_cut_reports(every, _losses(every, rounds, chance)))
    say("writes with replication off, on, and off again")
    _print(_writes(max(1, rounds // 4)))
    return 0


def _cut_reports(every: int, losses: list[float]) -> list[Report]:
    reports = []
    for name, values in (("median", losses), ("worst", [max(losses)])):
        reports.append(report := Report(Figure(f"lost-seconds-{every}s-{name}", "s", bench="rpo")))
        for value in values:
            report.add(OURS, value)
    return reports


def _print(reports: list[Report]) -> None:
    """Print figures as soon as they are known: what fails later takes none of them away."""
    for report in reports:
        print(*report.lines(), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
