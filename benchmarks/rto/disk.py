"""How fast a guest's disk is while its data still comes in behind it, beside a local image.

The guest measures: it lets the hydration begin, reads 256 MiB that are not here yet, past its cache, and
copies 64 MiB to another place, durably. Ours is after ``bascule replica fail-over``; the other is the same
guest on a local qcow2. The host has neither of them in its memory when a round begins. A round whose
hydration ended before the guest was done is no round.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from bascule.model.machines import DirectBoot, DiskPlace, Hardware, MachineDefinition
from benchmarks.report import OURS, Figure, Report
from benchmarks.rto.scene import NAME as MACHINE
from benchmarks.rto.scene import PIECE, Scene, piece
from lab.guests import KERNEL_WORDS, initramfs, kit
from lab.waiting import wait_until

NAME, _PEER = "disk-during-hydration", "local-disk"
_DATA = 3 << 30
_READ_MIB, _COPIED_MIB = 256, 64
_AT_MIB, _FROM_MIB, _TO_MIB = 2048, 2560, 2816
_PATIENCE_SECONDS = 300.0
# Hydration begins when a guest asked for nothing for five seconds.
_SCRIPT = f"""
mdev -s
sleep 6
begun=$(cut -d ' ' -f 1 /proc/uptime)
dd if=/dev/vda of=/dev/null bs=1M skip={_AT_MIB} count={_READ_MIB} iflag=direct
dd if=/dev/vda of=/dev/vda bs=1M skip={_FROM_MIB} seek={_TO_MIB} count={_COPIED_MIB} iflag=direct conv=fsync
say "disk $begun $(cut -d ' ' -f 1 /proc/uptime)"
while true; do sleep 1000; done
"""


def measure(rounds: int) -> list[str]:
    """Return a line for the throughput."""
    report = Report(Figure(NAME, "MB/s", True, "rto"))
    with tempfile.TemporaryDirectory(prefix="rto-") as folder:
        scene = Scene(Path(folder), _made(Path(folder)))
        for _ in range(rounds):
            report.add(_PEER, _throughput(scene, scene.start))
            scene.end()
            report.add(OURS, _throughput(scene, scene.fail_over))
            if "hydration" in _log(scene).read_text():
                raise RuntimeError("the hydration ended before the guest was done: give it more data")
            scene.cancel()
    return report.lines()


def _made(room: Path) -> MachineDefinition:
    initrd = initramfs(room / "guest.initrd", _SCRIPT)
    image = room / "disk.raw"
    with image.open("wb") as file:
        for _ in range(0, _DATA, PIECE):
            file.write(piece())
    boot = DirectBoot(str(kit() / "vmlinuz"), str(initrd), KERNEL_WORDS)
    return MachineDefinition(
        MACHINE, Hardware(memory_mib=256, boot=boot), (DiskPlace("disk0", str(image), "raw"),)
    )


def _throughput(scene: Scene, begin: Callable[[], None]) -> float:
    _forget(scene.room)
    begin()
    wait_until(lambda: _said(scene) is not None, _PATIENCE_SECONDS, "the guest's measurement")
    found = _said(scene)
    assert found is not None
    seconds = float(found[2]) - float(found[1])
    return (_READ_MIB + 2 * _COPIED_MIB) * (1 << 20) / 1e6 / seconds


def _said(scene: Scene) -> re.Match[str] | None:
    return re.search(r"guest: disk ([\d.]+) ([\d.]+)\n", scene.host.console(MACHINE))


def _log(scene: Scene) -> Path:
    return scene.room / "replicas" / MACHINE / "failover" / MACHINE / "log"


def _forget(room: Path) -> None:
    """Let the host forget what it has in memory of a folder."""
    os.sync()
    for path in room.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
