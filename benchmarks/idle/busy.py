"""The peak memory of a provider of several machines that are all copied for the first time at once.

The machines are of QEMU, in processes of their own, and their processors are stopped. Each has a disk of many
GiB, so that what is stored at once is as large as it gets, and some data in it that cannot be compressed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bascule.model.items import Wish
from bascule.replication.provider.folder import ItemFolder
from benchmarks.data.process import peak_bytes, run, say
from benchmarks.report import OURS, Figure, Report
from lab.waiting import wait_until

from .items import protect

_MIB = 1 << 20
_DISK_BYTES = 64 << 30
_LONGEST_SECONDS = 300


def measure(room: Path, machines: int, data_mib: int) -> Report:
    """Copy machines in a folder, and return the figure."""
    report = Report(Figure("busy-memory", "MiB", bench="idle"))
    names = [f"m{number}" for number in range(machines)]
    disk = _disk(room, data_mib)
    with ExitStack() as running:
        for name in names:
            running.enter_context(_machine(room, name, disk))
        items = protect(room, [Wish(name, (str(room / f"{name}.qmp"),), "", "") for name in names])
        command = [sys.executable, "-m", "bascule.apps.provider", str(room / "provider")]
        process = running.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        running.callback(process.terminate)
        say(f"{machines} first copies of {data_mib} MiB each")
        wait_until(lambda: _all_copied(items), _LONGEST_SECONDS, "the first points of all machines")
        report.add(OURS, peak_bytes(process.pid) / _MIB)
    return report


def _all_copied(items: list[ItemFolder]) -> bool:
    return all(item.facts().newest is not None for item in items)


def _disk(room: Path, data_mib: int) -> Path:
    raw, disk = room / "disk.raw", room / "disk.qcow2"
    with raw.open("wb") as stream:
        for _ in range(data_mib):
            stream.write(os.urandom(_MIB))
        stream.truncate(_DISK_BYTES)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk])
    raw.unlink()
    return disk


@contextmanager
def _machine(room: Path, name: str, like: Path) -> Iterator[None]:
    """Run a machine that writes nothing, with a disk of its own."""
    disk = room / f"{name}.qcow2"
    run(["cp", "--reflink=auto", like, disk])
    words = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "qemu-system-x86_64",
        "-S",
        "-machine",
        "q35,accel=tcg",
        "-m",
        "16",
    ]
    words += ["-nodefaults", "-display", "none", "-qmp", f"unix:{room / name}.qmp,server=on,wait=off"]
    words += ["-blockdev", f"driver=qcow2,node-name=d0,file.driver=file,file.filename={disk}"]
    with subprocess.Popen([*words, "-device", "virtio-blk-pci,id=disk0,drive=d0"]) as process:
        try:
            wait_until((room / f"{name}.qmp").exists, 60, f"machine {name}")
            yield
        finally:
            process.kill()
