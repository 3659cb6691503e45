"""``python -m benchmarks.rto [FIGURES]``: boot a machine from the store, and from a local image, and compare.

The machine boots from its own disk, with 2 GiB of data on it (half of the smallest one), and counts as up
when its ledger says so. Ours is from the command ``bascule replica fail-over`` on; the other is the
same machine, started by the same host from a local qcow2 of the same disk. ``planned`` and ``disk`` say what
the figures ``planned-downtime`` and ``disk-during-hydration`` are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bascule.model.machines import MachineDefinition
from benchmarks.installed import compiled
from benchmarks.report import OURS, Figure, Report
from benchmarks.rto import disk, planned
from benchmarks.rto.scene import NAME, PIECE, Scene, piece
from lab import machines
from lab.machines import Keeping
from lab.waiting import wait_until

SIZES = {"1gib": 1 << 30, "64gib": 64 << 30, "1tib": 1 << 40}
ROUNDS = 3
_DATA, _BEHIND_BOOT = 2 << 30, 48 << 20
_PATIENCE_SECONDS = 300.0
_OTHERS = {disk.NAME: disk.measure, planned.NAME: planned.measure}


def main(names: list[str]) -> None:
    """Print lines for each size of disk, what compares the largest with the smallest, and the others."""
    compiled()
    names = names or [*SIZES, *_OTHERS]
    for line in _boots([name for name in names if name not in _OTHERS]):
        print(line, flush=True)
    for name in (name for name in _OTHERS if name in names):
        for line in _OTHERS[name](ROUNDS):
            print(line, flush=True)


def _boots(names: list[str]) -> Iterator[str]:
    medians = {}
    for name in names:
        report = Report(Figure(name, "s", bench="rto"))
        with tempfile.TemporaryDirectory(prefix="rto-") as folder:
            measure(Path(folder), SIZES[name], report)
        yield from report.lines()
        medians[name] = report
    if {"1gib", "1tib"} <= medians.keys():
        flat = Report(Figure("1tib-flat", "s", bench="rto"))
        for who, name in ((OURS, "1tib"), ("1gib", "1gib")):
            for value in medians[name].of(OURS):
                flat.add(who, value)
        yield from flat.lines()


def measure(room: Path, size: int, report: Report) -> None:
    """Boot both ways, one after the other, several times."""
    scene = Scene(room, _made(room / "images", size))
    for _ in range(ROUNDS):
        report.add("local-boot", _until_up(scene, scene.start))
        scene.end()
        report.add(OURS, _until_up(scene, scene.fail_over))
        scene.cancel()


def _until_up(scene: Scene, begin: Callable[[], None]) -> float:
    begun = time.monotonic()
    begin()
    wait_until(lambda: "ledger: up" in scene.host.console(NAME), _PATIENCE_SECONDS, "the machine's ledger")
    return time.monotonic() - begun


def _made(folder: Path, size: int) -> MachineDefinition:
    """Make the disks, raw and sparse; half of the data does not compress."""
    definition = machines.make(Keeping(NAME, disks=1, disk_mib=64), folder, image_format="raw")
    data = min(_DATA, size // 2)
    with open(definition.disks[0].words, "r+b") as image:
        image.truncate(size)
        for at in range(0, data, PIECE):
            image.seek(_BEHIND_BOOT + at * ((size - _BEHIND_BOOT) // data - 1))
            image.write(piece())
    return definition


if __name__ == "__main__":
    main(sys.argv[1:])
