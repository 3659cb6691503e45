"""Run in a process of its own: copy, resync and restore a sparse disk, and say how much memory that took."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from bascule.blocks.cut import BLOCK, UNIT
from bascule.blocks.extents import Extent, total
from bascule.data.pipeline import Conduct, Meter, copy, restore, resync
from bascule.data.store import KeyFile, Tuning, Vault
from bascule.drivers.disks.raw import RawSink, RawSource
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import SetClock
from tests.data.pipeline.worlds import DISK, GROUP, SeededIds, capture_of, noise

SIZE = 1 << 40
BULK = Extent(SIZE // 2, 160 << 20)
PIECES = 384


def make(path: Path) -> list[Extent]:
    """A disk with blocks of data all over a terabyte, and enough in one place to fill every buffer."""
    chance = random.Random(1)
    spots = [Extent(spot * BLOCK, BLOCK) for spot in sorted(chance.sample(range(SIZE // 2 // BLOCK), PIECES))]
    spots += [Extent(at, UNIT) for at in range(BULK.offset, BULK.end, UNIT)]
    with path.open("wb") as disk:
        disk.truncate(SIZE)
        for spot in spots:
            disk.seek(spot.offset)
            disk.write(noise(spot.length, spot.offset))
    return spots


def main(room: Path) -> None:
    spots = make(room / "disk")
    ids, clock = SeededIds(), SetClock()
    vault = Vault.init(LocalStore(room / "store", create=True), KeyFile(bytes(32)), ids=ids, clock=clock)
    source = RawSource(room / "disk")
    disks = capture_of({DISK: source})
    with vault.begin(GROUP, writer="test", tuning=Tuning()) as writer:
        copied = copy(writer, disks, Conduct(Meter(clock)))
        again = resync(vault, writer, disks, Conduct(Meter(clock)))
    sink = RawSink(room / "restored", SIZE)
    with vault.point(GROUP, purpose="test") as point:
        did = restore(point.disk(DISK), sink, Conduct(Meter(clock), workers=8))
    sink.close()

    assert copied.sent_bytes == again.compared.equal_bytes == did.written_bytes == total(spots)
    assert again.copied.sent_bytes == 0
    with (room / "restored").open("rb") as restored:
        for spot in spots:
            restored.seek(spot.offset)
            assert restored.read(spot.length) == noise(spot.length, spot.offset)
    assert (room / "restored").stat().st_blocks * 512 < 1.2 * total(spots)
    sys.stdout.write(f"{peak_mib()}\n")


def peak_mib() -> int:
    """The most that was resident at once; getrusage would count what the parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) >> 10


if __name__ == "__main__":
    main(Path(sys.argv[1]))
