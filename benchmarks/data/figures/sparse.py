"""64 MiB of change on sparse disks of 16 GiB, 256 GiB and 1 TiB: the cost must follow the change.

A disk starts with 64 MiB in random 64 KiB blocks over its whole size and is copied
once; then as many random blocks change, and each round copies that change into a
new point. The largest disk is restored at the end and compared where it has data.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bascule.blocks.extents import Extent, merge
from benchmarks.report import OURS, Figure, Report

from .. import images
from ..bench import Bench, alternate
from ..ours import Store, write_extents
from ..process import Cost, Failed, synced
from .memory import memory

SIZES: Final = {"16GiB": 16 * images.GIB, "256GiB": 256 * images.GIB, "1TiB": 1024 * images.GIB}
CHANGE: Final = 64 * images.MIB
_MEMORY: Final = ("memory-sparse-copy", "memory-sparse-restore")
NAMES: Final = ("sparse-256GiB", "sparse-1TiB", *_MEMORY)


@dataclass(frozen=True, slots=True)
class _Disk:
    path: Path
    store: Store
    changed: Path


def measure(bench: Bench) -> None:
    """Print sparse-256GiB and sparse-1TiB against sparse-16GiB, and the memory of the largest."""
    with bench.room("sparse") as room:
        change = CHANGE // 16 if bench.quick else CHANGE
        made = {name: _made(room / name, size, change) for name, size in SIZES.items()}
        times: dict[str, list[Cost]] = {name: [] for name in SIZES}

        def step(name: str) -> Callable[[], None]:
            disk = made[name][0]
            return lambda: times[name].append(synced(lambda: disk.store.copy(disk.path, disk.changed)))

        alternate(bench.rounds, [step(name) for name in SIZES])
        for name in ("256GiB", "1TiB"):
            bench.emit(_compared(name, times))
        disk, full = made["1TiB"]
        restored = disk.store.restore(room / "restored")
        _must_equal(room / "restored", disk.path)
        peaks = max(full.peak_bytes, *(cost.peak_bytes for cost in times["1TiB"])), restored.peak_bytes
        bench.emit(*(memory(name, peak) for name, peak in zip(_MEMORY, peaks, strict=True)))


def _made(room: Path, size: int, change: int) -> tuple[_Disk, Cost]:
    """Make a disk, copy it whole, and change it; returns what the whole copy took."""
    room.mkdir()
    disk = _Disk(room / "disk.img", Store(room), room / "changed")
    disk.store.init()
    chance = random.Random(size)
    with disk.path.open("xb") as file:
        file.truncate(size)
    _scatter(disk.path, change, chance)
    full = disk.store.copy(disk.path)
    write_extents(disk.changed, _scatter(disk.path, change, chance))
    return disk, full


def _scatter(path: Path, change: int, chance: random.Random) -> list[Extent]:
    blocks = sorted(chance.sample(range(path.stat().st_size // images.BLOCK), change // images.BLOCK))
    with path.open("r+b") as file:
        for block in blocks:
            os.pwrite(file.fileno(), chance.randbytes(images.BLOCK), block * images.BLOCK)
        os.fsync(file.fileno())
    return list(merge(Extent(block * images.BLOCK, images.BLOCK) for block in blocks))


def _compared(name: str, times: dict[str, list[Cost]]) -> Report:
    report = Report(Figure(f"sparse-{name}", "s"))
    for who, key in ((OURS, name), ("sparse-16GiB", "16GiB")):
        for cost in times[key]:
            report.add(who, cost.wall_s, cost.cpu_s)
    return report


def _must_equal(restored: Path, original: Path) -> None:
    """Compare where either file has data; both are sparse."""
    for one, other in ((restored, original), (original, restored)):
        with one.open("rb") as here, other.open("rb") as there:
            for extent in _data(here.fileno()):
                mine = os.pread(here.fileno(), extent.length, extent.offset)
                if mine != os.pread(there.fileno(), extent.length, extent.offset):
                    raise Failed(f"{OURS} restored wrong bytes of a sparse disk at {extent.offset}")


def _data(handle: int) -> list[Extent]:
    found, at, end = [], 0, os.fstat(handle).st_size
    while at < end:
        try:
            low = os.lseek(handle, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole follows
            break
        at = os.lseek(handle, low, os.SEEK_HOLE)
        found.append(Extent(low, at - low))
    return found
