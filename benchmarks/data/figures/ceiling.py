"""A full copy beside the same copy with nothing written: how much of its own ceiling durability leaves.

And beside the native calls alone, which no copy of this form can do without: how far it is from its floor.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report

from .. import images
from ..bench import Bench, alternate
from ..ours import Store
from ..process import Cost, run, synced

FIGURE: Final = Figure("ceiling", "s")


def measure(bench: Bench) -> None:
    """Print ``ceiling`` against no-write, and against the natives."""
    image, report = bench.mixed(), Report(FIGURE)

    def written() -> None:
        with bench.room("ceiling") as room:
            store = Store(room)
            store.init()
            _keep(report, OURS, synced(lambda: store.copy(image.before)))

    def not_written() -> None:
        with bench.room("ceiling") as room:
            _keep(report, "no-write", synced(lambda: _no_write(image.before, room)))

    def natives_alone() -> None:
        with bench.room("ceiling") as room:
            _keep(report, "natives", synced(lambda: natives(image.before, room)))

    images.warm(image.before)
    alternate(bench.rounds, [written, not_written, natives_alone])
    bench.emit(report)


def _no_write(source: Path, room: Path) -> Cost:
    return run([sys.executable, "-m", "benchmarks.data.programs.no_write", source, room])


def natives(source: Path, room: Path) -> Cost:
    """Make the native calls of a copy, and nothing else."""
    return run([sys.executable, "-m", "benchmarks.data.programs.natives", source, room])


def _keep(report: Report, who: str, cost: Cost) -> None:
    report.add(who, cost.wall_s, cost.cpu_s)
