"""Opening the newest of 10,000 points beside opening the newest of 10, each in a fresh process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report

from ..bench import Bench, alternate
from ..process import output, run, say

_PROGRAM: Final = "benchmarks.data.programs.many_points"
_FEW: Final = 10


def measure(bench: Bench) -> None:
    """Print ``open-10000`` against open-10: from a closed store to the first block of the disk."""
    many = 100 if bench.quick else 10_000
    report = Report(Figure("open-10000", "ms"))
    with bench.room("points") as room:

        def step(who: str, folder: Path) -> Callable[[], None]:
            return lambda: report.add(who, 1000 * float(_program("open", folder)))

        say(f"making {many} points")
        steps = []
        for who, count in ((OURS, many), ("open-10", _FEW)):
            (room / str(count)).mkdir()
            run([sys.executable, "-m", _PROGRAM, "fill", room / str(count), str(count)])
            steps.append(step(who, room / str(count)))
        alternate(bench.rounds, steps)
    bench.emit(report)


def _program(what: str, folder: Path) -> str:
    return output([sys.executable, "-m", _PROGRAM, what, folder])
