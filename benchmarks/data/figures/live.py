"""A full copy out of a live NBD export, beside nbdcopy from the same socket into a synced raw file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report

from .. import images
from ..bench import Bench, alternate
from ..ours import Store
from ..process import Cost, greets, run, serving, synced

FIGURE: Final = Figure("from-nbd", "s")


def measure(bench: Bench) -> None:
    """Print ``from-nbd``; the server's CPU time is in nobody's figure."""
    image, report = bench.mixed(), Report(FIGURE)
    with bench.room("nbd") as shared:
        socket = shared / "source"
        address = f"nbd+unix:///?socket={socket}"

        def ours() -> None:
            with bench.room("from-nbd") as room:
                store = Store(room)
                store.init()
                cost = synced(lambda: store.copy(address), image.size_bytes)
                report.add(OURS, cost.wall_s, cost.cpu_s)
                store.restore(room / "restored")
                images.must_equal(room / "restored", image.before, OURS)

        def theirs() -> None:
            with bench.room("from-nbd") as room:
                cost = synced(lambda: _nbdcopy(address, room / "raw"), image.size_bytes)
                report.add("nbdcopy", cost.wall_s, cost.cpu_s)

        images.warm(image.before)
        with serving(
            ["qemu-nbd", "-r", "-t", "-e", "8", "-f", "raw", "-k", socket, image.before], greets(socket)
        ):
            alternate(bench.rounds, [ours, theirs])
    bench.emit(report)


def _nbdcopy(address: str, target: Path) -> Cost:
    return run(["nbdcopy", address, target])
