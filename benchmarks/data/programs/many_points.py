"""Fill a store with points of one changed block each, or time the opening of its newest point.

    python -m benchmarks.data.programs.many_points fill ROOM COUNT
    python -m benchmarks.data.programs.many_points open ROOM

``open`` prints the seconds from a closed store to the first block of the disk.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import BLOCK, DiskKey, DiskSpec, KeyFile, MachineSpec, Vault
from bascule.drivers.objects.local import LocalStore

_GROUP: Final = "many"
_DISK: Final = DiskKey("machine", "disk")
_BLOCKS: Final = 16384
_MACHINE: Final = MachineSpec("machine", "machine", (DiskSpec("disk", _BLOCKS * BLOCK),))


def fill(room: Path, count: int) -> None:
    """Publish ``count`` points through one writer."""
    ids, clock = SystemIds(), SystemClock()
    key = KeyFile.create(room / "key", ids)
    store = LocalStore(str(room / "store"), create=True)
    vault = Vault.init(store, key, ids=ids, clock=clock)
    with vault.begin(_GROUP, writer="benchmark") as writer:
        for number in range(count):
            cut = writer.cut([_MACHINE], captured_at=clock.now())
            lane = cut.lane()
            # A stride that is prime to the disk: changes are spread, as a guest's are.
            lane.write(_DISK, number * 7919 % _BLOCKS * BLOCK, memoryview(os.urandom(BLOCK)))
            lane.close()
            cut.publish()


def opened(room: Path) -> float:
    """Return the seconds it takes to open the vault, the newest point, and a block that it changed."""
    key = KeyFile.read(room / "key")
    buffer = memoryview(bytearray(BLOCK))
    started = time.perf_counter()
    store = LocalStore(str(room / "store"))
    vault = Vault.open(store, key, ids=SystemIds(), clock=SystemClock())
    with vault.point(_GROUP, purpose="benchmark") as point:
        point.disk(_DISK).read_into(0, buffer)
        seconds = time.perf_counter() - started
    if not any(buffer):
        raise SystemExit("block 0 reads as zero, but the first point wrote it")
    return seconds


def main() -> None:
    what, room = sys.argv[1], Path(sys.argv[2])
    if what == "fill":
        fill(room, int(sys.argv[3]))
    else:
        print(opened(room))


if __name__ == "__main__":
    main()
