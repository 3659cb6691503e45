"""A machine in a store and on a local disk, and the host that starts it from either."""

from __future__ import annotations

import os
import subprocess
import sys
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
from lab.filesystems import tool

NAME = "shop"
PIECE = 16 << 20


class Scene:
    """A folder with both, and the command line there."""

    def __init__(self, room: Path, definition: MachineDefinition) -> None:
        self.room = room
        self.host = QemuHost(room / "host", SystemClock(), SystemIds(), "tcg")
        self._stored(definition)
        disks = tuple(_local(disk.words, disk) for disk in definition.disks)
        self._local = replace(definition, disks=disks)

    def bascule(self, *words: str) -> None:
        """Run a command."""
        settings = os.environ | {
            "BASCULE_KEY_FILE": "key",
            "BASCULE_HOST": "host",
            "BASCULE_REPLICAS": "replicas",
            "BASCULE_ACCELERATOR": "tcg",
        }
        command = [sys.executable, "-c", "from bascule.apps.command_line import main; main()", *words]
        subprocess.run(command, cwd=self.room, env=settings, check=True, capture_output=True)

    def start(self) -> None:
        """Start the machine from its local disks."""
        self.host.define(self._local)
        self.host.start(NAME)

    def end(self) -> None:
        """Leave nothing of a machine that was started from its local disks."""
        self.host.cut_power(NAME)
        self.host.forget(NAME)

    def fail_over(self) -> None:
        """Start the machine from the store."""
        self.bascule("replica", "fail-over", "store", NAME)

    def cancel(self) -> None:
        """Leave nothing of a machine that was started from the store."""
        self.bascule("replica", "cancel", "store", NAME)

    def _stored(self, definition: MachineDefinition) -> None:
        """Put the machine into a store, as one point."""
        key = self.room / "key"
        KeyFile.create(key, SystemIds())
        clock = SystemClock()
        with closing(LocalStore(self.room / "store", create=True)) as objects:
            vault = Vault.init(objects, KeyFile.read(key), ids=SystemIds(), clock=clock)
            sources = {DiskKey(NAME, d.id): open_source(f"{d.words}?format=raw") for d in definition.disks}
            disks = tuple(DiskSpec(d.id, sources[DiskKey(NAME, d.id)].size_bytes) for d in definition.disks)
            spec = MachineSpec(NAME, NAME, disks, to_text(MachineNote(definition)))
            with vault.begin(NAME, writer="benchmark") as writer:
                copy(writer, Capture([spec], sources, clock.now()), Conduct(Meter(clock)))
            for source in sources.values():
                source.close()


def piece() -> bytes:
    """Return data of which half does not compress."""
    return os.urandom(PIECE // 2) + bytes(range(256)) * (PIECE // 512)


def _local(raw: str, disk: DiskPlace) -> DiskPlace:
    image = f"{raw}.qcow2"
    tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
    return replace(disk, words=image, format="qcow2")
