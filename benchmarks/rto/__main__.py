"""``python -m benchmarks.rto [FIGURES]``: boot a machine from the store, and from a local image, and compare.

The machine boots from its own disk, with 2 GiB of data on it (half of the smallest one), and counts as up
when its ledger says so. Ours is from the command ``bascule replica fail-over`` on; the other is the
same machine, started by the same host from a local qcow2 of the same disk. ``planned`` says what the figure
``planned-downtime`` is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline import Capture, Conduct, Meter, copy
from bascule.data.store import DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.drivers.objects.local import LocalStore
from bascule.model.machines import DiskPlace, MachineDefinition
from bascule.model.notes import MachineNote, to_text
from benchmarks.installed import compiled
from benchmarks.report import OURS, Figure, Report
from benchmarks.rto import planned
from lab import machines
from lab.filesystems import tool
from lab.machines import Keeping
from lab.waiting import wait_until

SIZES = {"1gib": 1 << 30, "64gib": 64 << 30, "1tib": 1 << 40}
ROUNDS = 3
_DATA, _BEHIND_BOOT, _PIECE = 2 << 30, 48 << 20, 16 << 20
_NAME = "shop"
_PATIENCE_SECONDS = 300.0


def main(names: list[str]) -> None:
    """Print lines for each size of disk, what compares the largest with the smallest, and the downtime."""
    compiled()
    names = names or [*SIZES, planned.NAME]
    for line in _boots([name for name in names if name != planned.NAME]):
        print(line, flush=True)
    for line in planned.measure(ROUNDS) if planned.NAME in names else ():
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
    definition = _made(room / "images", size)
    _stored(room, definition)
    local = replace(definition, disks=tuple(_local(disk.words, disk) for disk in definition.disks))
    host = QemuHost(room / "host", SystemClock(), SystemIds(), "tcg")
    settings = os.environ | {
        "BASCULE_KEY_FILE": "key",
        "BASCULE_HOST": "host",
        "BASCULE_REPLICAS": "replicas",
        "BASCULE_ACCELERATOR": "tcg",
    }

    def bascule(*words: str) -> None:
        command = [sys.executable, "-c", "from bascule.apps.command_line import main; main()", *words]
        subprocess.run(command, cwd=room, env=settings, check=True, capture_output=True)

    for _ in range(ROUNDS):
        report.add("local-boot", _until_up(host, lambda: _start(host, local)))
        host.cut_power(_NAME)
        host.forget(_NAME)
        report.add(OURS, _until_up(host, lambda: bascule("replica", "fail-over", "store", _NAME)))
        bascule("replica", "cancel", "store", _NAME)


def _start(host: QemuHost, definition: MachineDefinition) -> None:
    host.define(definition)
    host.start(_NAME)


def _until_up(host: QemuHost, begin: Callable[[], None]) -> float:
    begun = time.monotonic()
    begin()
    wait_until(lambda: "ledger: up" in host.console(_NAME), _PATIENCE_SECONDS, "the machine's ledger")
    return time.monotonic() - begun


def _made(folder: Path, size: int) -> MachineDefinition:
    """Make the disks, raw and sparse; half of the data does not compress."""
    definition = machines.make(Keeping(_NAME, disks=1, disk_mib=64), folder, image_format="raw")
    data = min(_DATA, size // 2)
    with open(definition.disks[0].words, "r+b") as image:
        image.truncate(size)
        for at in range(0, data, _PIECE):
            image.seek(_BEHIND_BOOT + at * ((size - _BEHIND_BOOT) // data - 1))
            image.write(os.urandom(_PIECE // 2) + bytes(range(256)) * (_PIECE // 512))
    return definition


def _local(raw: str, disk: DiskPlace) -> DiskPlace:
    image = f"{raw}.qcow2"
    tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
    return replace(disk, words=image, format="qcow2")


def _stored(room: Path, definition: MachineDefinition) -> None:
    """Put the machine into a store, as one point."""
    key = room / "key"
    KeyFile.create(key, SystemIds())
    clock = SystemClock()
    with closing(LocalStore(room / "store", create=True)) as objects:
        vault = Vault.init(objects, KeyFile.read(key), ids=SystemIds(), clock=clock)
        sources = {DiskKey(_NAME, d.id): open_source(f"{d.words}?format=raw") for d in definition.disks}
        disks = tuple(DiskSpec(d.id, sources[DiskKey(_NAME, d.id)].size_bytes) for d in definition.disks)
        spec = MachineSpec(_NAME, _NAME, disks, to_text(MachineNote(definition)))
        with vault.begin(_NAME, writer="benchmark") as writer:
            copy(writer, Capture([spec], sources, clock.now()), Conduct(Meter(clock)))
        for source in sources.values():
            source.close()


if __name__ == "__main__":
    main(sys.argv[1:])
