"""``python -m benchmarks.cycle``: print what a cycle of a replicated machine takes, in milliseconds.

A real QEMU with an idle guest and a 4 GiB qcow2 disk, a store in a folder. Between cycles
as much of the disk is written as the figure says, in random 64 KiB blocks, by QEMU's own
``qemu-io`` command, so that every round finds the same. ``commands-ms`` is what an idle
cycle spends in QEMU's commands; the others are whole cycles, from before the instant
until the point is durable and the machine has nothing of ours left. Half of what is written is noise
and half of it compresses away. ``1tib-64mib-ms`` is a cycle of a sparse disk of 1 TiB beside
that of one of 16 GiB.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.pipeline.flow.buffers import Buffers
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.progress import Meter
from bascule.data.store import KeyFile, Vault
from bascule.drivers.disks.factory import open_source
from bascule.drivers.hypervisors.qemu.machine import QemuMachine
from bascule.drivers.hypervisors.qemu.monitor import Monitor
from bascule.drivers.objects.local import LocalStore
from bascule.ports.machines import Frozen, RunningMachine, Tracking
from bascule.replication.members import Member
from bascule.replication.replicator import Names, Replicator, World
from benchmarks.data.process import Failed, run, say
from benchmarks.report import OURS, Figure, Report
from lab.guests import Guest, initramfs

_BLOCK: Final = 65536
_DISK_BYTES: Final = 4 << 30
_CHANGES: Final = {"commands-ms": 0, "5mib-ms": 80, "64mib-ms": 1024}
"""How many blocks are written before a cycle of each figure."""
_LARGE, _SMALL = "1tib", "16gib"
_SIZES: Final = {_LARGE: 1 << 40, _SMALL: 16 << 30}


class _Timed:
    """A frozen machine that notes how long its hypervisor takes to let go."""

    def __init__(self, frozen: Frozen, note: Callable[[float], None]) -> None:
        self._frozen = frozen
        self._note = note
        self.captured_at, self.disks, self.tracking = frozen.captured_at, frozen.disks, frozen.tracking

    def thaw(self) -> None:
        begun = time.perf_counter()
        self._frozen.thaw()
        self._note(time.perf_counter() - begun)

    def keep(self) -> None:
        begun = time.perf_counter()
        self._frozen.keep()
        self._note(time.perf_counter() - begun)

    def drop(self) -> None:
        self._frozen.drop()


class _Watched:
    """A machine that notes how long its hypervisor takes."""

    def __init__(self, machine: RunningMachine) -> None:
        self._machine = machine
        self.settle, self.prepare, self.close = machine.settle, machine.prepare, machine.close
        self.recorded = machine.recorded
        self.spent_s = 0.0

    @property
    def name(self) -> str:
        return self._machine.name

    def freeze(self, since: Tracking) -> Frozen:
        begun = time.perf_counter()
        frozen = self._machine.freeze(since)
        self.spent_s = time.perf_counter() - begun
        return _Timed(frozen, self._add)

    def _add(self, seconds: float) -> None:
        self.spent_s += seconds


class _Scene:
    """A machine being replicated."""

    def __init__(self, room: Path, disk_bytes: int = _DISK_BYTES) -> None:
        room.mkdir()
        self._blocks = disk_bytes // _BLOCK
        disk, self._pattern = room / "disk.qcow2", room / "pattern"
        self._chance = random.Random(4)
        self._pattern.write_bytes(self._chance.randbytes(_BLOCK // 2) * 2)
        run(["qemu-img", "create", "-q", "-f", "qcow2", disk, str(disk_bytes)])
        node = f"driver=qcow2,node-name=d0,file.driver=file,file.filename={disk},discard=unmap"
        drive = ["-blockdev", node, "-device", "virtio-blk-pci,id=disk0,drive=d0"]
        self._qmp = room / "qmp"
        options = ["-qmp", f"unix:{self._qmp},server=on,wait=off"]
        self._guest = Guest(
            initramfs(room / "initrd", "say idle; sleep 100000"), drive, options=options
        ).start()
        self._guest.hear("idle")
        clock = SystemClock()
        key = KeyFile.create(room / "main.key", SystemIds())
        vault = Vault.init(LocalStore(room / "store", create=True), key, ids=SystemIds(), clock=clock)
        self._monitor = Monitor.connect(self._qmp)
        self._machine = _Watched(QemuMachine(self._monitor, room / "run", clock, SystemIds()))
        buffers = Buffers()
        world = World(vault, clock, open_source, lambda: Conduct(Meter(clock), buffers=buffers))
        self._replicator = Replicator(
            world, [Member("bench", lambda: self._machine)], Names("bench", "bench")
        )

    def change(self, blocks: int) -> None:
        """Write random blocks of the disk."""
        for block in self._chance.sample(range(self._blocks), blocks):
            write = f"write -q -s {self._pattern} {block * _BLOCK} {_BLOCK}"
            line = f'qemu-io -d /machine/peripheral/disk0/virtio-backend "{write}"'
            said = self._monitor.execute("human-monitor-command", command_line=line)
            if said:
                raise Failed(f"qemu-io: {said}")

    def cycle(self, blocks: int) -> tuple[float, float]:
        """Run one cycle; return its milliseconds, and those of QEMU's commands among them."""
        self.change(blocks)
        done = self._replicator.cycle()
        if done.copied.read_bytes != blocks * _BLOCK:
            raise Failed(f"{blocks} blocks were written and {done.copied.read_bytes} bytes read")
        return done.seconds * 1000, self._machine.spent_s * 1000

    def warm_up(self) -> None:
        """Make the first points."""
        for blocks in (1024, 80, 0):
            self.change(blocks)
            self._replicator.cycle()

    def close(self) -> None:
        self._replicator.close()
        self._guest.kill()


def _cycles(folder: Path, rounds: int) -> list[Report]:
    reports = {name: Report(Figure(name, "ms", bench="cycle")) for name in _CHANGES}
    idle = Report(Figure("idle-ms", "ms", bench="cycle"))
    scene = _Scene(folder / "usual")
    try:
        scene.warm_up()
        say(f"{rounds} cycles of each kind")
        for _ in range(rounds):
            for name, blocks in _CHANGES.items():
                whole, commands = scene.cycle(blocks)
                reports[name].add(OURS, whole if blocks else commands)
                if not blocks:
                    idle.add(OURS, whole)
    finally:
        scene.close()
    return [*reports.values(), idle]


def _sizes(folder: Path, rounds: int) -> Report:
    """Compare disks of very different sizes, in turn, of which as much changes."""
    report = Report(Figure("1tib-64mib-ms", "ms", bench="cycle"))
    scenes: dict[str, _Scene] = {}
    try:
        for name, size in _SIZES.items():
            scenes[name] = _Scene(folder / name, size)
            scenes[name].warm_up()
        say(f"{rounds} cycles of each disk")
        for _ in range(rounds):
            for name, scene in scenes.items():
                report.add(OURS if name == _LARGE else name, scene.cycle(_CHANGES["64mib-ms"])[0])
    finally:
        for scene in scenes.values():
            scene.close()
    return report


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.cycle", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="cycles of each kind; medians are printed")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="bascule-cycle-") as folder:
        reports = [*_cycles(Path(folder), rounds), _sizes(Path(folder), max(rounds // 2, 1))]
    for report in reports:
        print(*report.lines(), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
