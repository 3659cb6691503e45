"""qemu-img convert into a zstd-compressed qcow2, and back to raw. Neither encrypted nor hashed."""

from __future__ import annotations

from pathlib import Path

from ..process import Cost, Failed, run
from ..runner import Room
from ..tools import apt


class QemuImg:
    name = "qemu-img-zstd"
    has_delta = False

    def install(self, _cache: Path) -> None:
        apt("qemu-img", "qemu-utils")

    def prepare(self, room: Room) -> None:
        self._room = room
        self._copy = room.store / "disk.qcow2"

    def full(self) -> Cost:
        # -W and -m 16 measured a tenth faster here than the defaults.
        into = ["-O", "qcow2", "-c", "-o", "compression_type=zstd", "-W", "-m", "16"]
        return run(["qemu-img", "convert", "-f", "raw", *into, self._room.disk, self._copy])

    def delta(self) -> Cost:
        raise Failed("qemu-img convert has no delta")

    def restore(self, into: Path) -> Cost:
        return run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", self._copy, into / "disk.img"])

    def stored_bytes(self) -> int:
        return self._room.stored_bytes()
