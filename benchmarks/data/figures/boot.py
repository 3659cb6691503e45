"""A guest boots from a recovery point over NBD, beside the same guest on a local qcow2.

From the start of QEMU to power off: kernel, ext4 mount, 800 files read (78 MiB),
32 MiB written and synced. Both write into an empty qcow2 overlay. Under emulation,
so the figure says what the way to the disk adds to a boot, not how fast a boot is.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report
from lab.guests import Guest, ext4_image, initramfs

from .. import images
from ..bench import Bench, alternate
from ..ours import EXPORT, Store
from ..process import Failed, run, say, socket_path

NAMES: Final = ("boot",)
_DISK_BYTES: Final = 512 * images.MIB
_FILES: Final = 800
_FILE_BYTES: Final = 100_000
_SCRIPT: Final = """
mount -t ext4 /dev/vda /mnt || exit 1
cat /mnt/file-* > /dev/null || exit 2
dd if=/dev/zero of=/mnt/new bs=1M count=32 conv=fsync 2> /dev/null || exit 3
umount /mnt || exit 4
"""


class _Machine:
    """One disk, kept as a recovery point and as a qcow2; each boot gets a new overlay."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._initrd = initramfs(room / "initrd", _SCRIPT)
        image = ext4_image(room / "disk.img", _DISK_BYTES, _files())
        self._local = room / "disk.qcow2"
        self._store = Store(room)
        self._store.init()
        self._store.copy(image)
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, self._local])

    def from_point(self) -> float:
        """Return the seconds of a boot from a cold point server."""
        socket = socket_path("boot")
        with self._store.serve(socket):
            return self._boot(f"driver=nbd,server.type=unix,server.path={socket},export={EXPORT}")

    def from_local(self) -> float:
        """Return the seconds of a boot from the qcow2."""
        images.warm(self._local)
        return self._boot(f"driver=qcow2,file.driver=file,file.filename={self._local}")

    def _boot(self, base: str) -> float:
        overlay = self._room / "overlay.qcow2"
        run(["qemu-img", "create", "-q", "-f", "qcow2", overlay, str(_DISK_BYTES)])
        drives = [
            *("-blockdev", f"{base},node-name=base,read-only=on"),
            *(
                "-blockdev",
                f"driver=qcow2,node-name=d0,backing=base,file.driver=file,file.filename={overlay}",
            ),
            *("-device", "virtio-blk-pci,drive=d0"),
        ]
        started = time.perf_counter()
        with Guest(self._initrd, drives) as guest:
            console = guest.wait()
            seconds = time.perf_counter() - started
        if "script ended with 0" not in console:
            raise Failed(f"the guest did not do its work:\n{console[-2000:]}")
        return seconds


def measure(bench: Bench) -> None:
    """Print ``boot``."""
    report = Report(Figure("boot", "s"))
    with bench.room("boot") as room:
        machine = _Machine(room)

        def ours() -> None:
            _keep(report, OURS, machine.from_point())

        def theirs() -> None:
            _keep(report, "local-qcow2", machine.from_local())

        alternate(bench.rounds, [ours, theirs])
    bench.emit(report)


def _files() -> dict[str, bytes]:
    """Half of every file is random, the other half says the same again."""
    chance = random.Random(_FILES)
    return {f"file-{number}": chance.randbytes(_FILE_BYTES // 2) * 2 for number in range(_FILES)}


def _keep(report: Report, who: str, seconds: float) -> None:
    say(f"boot {who}: {seconds:.2f} s")
    report.add(who, seconds)
