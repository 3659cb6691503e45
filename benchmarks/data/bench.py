"""What a run is: its options, its images, and the memory and disk it measures on."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report

from . import images


@dataclass(frozen=True, slots=True)
class Bench:
    """One run. ``against`` and ``only`` are empty for everything."""

    cache: Path
    rounds: int
    size_bytes: int
    quick: bool
    only: frozenset[str]
    against: frozenset[str]

    def wants(self, figure: str) -> bool:
        return not self.only or figure in self.only

    def compares(self, who: str) -> bool:
        return not self.against or who in self.against

    def mixed(self) -> images.Image:
        """The image of the comparison with peers."""
        return images.mixed(self.cache, self.size_bytes)

    @contextlib.contextmanager
    def room(self, name: str) -> Iterator[Path]:
        """A folder of its own on the benchmark's disk, gone afterwards."""
        mine = self.cache / "rooms" / str(os.getpid())
        mine.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=mine))
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def tidy(self) -> None:
        """Remove the rooms of this run, and of runs that were killed."""
        for rooms in self.cache.glob("rooms/*"):
            if rooms.name == str(os.getpid()) or not Path("/proc", rooms.name).exists():
                shutil.rmtree(rooms, ignore_errors=True)

    def emit(self, *reports: Report) -> None:
        """Print the figures that were asked for."""
        for report in reports:
            if self.wants(report.figure.name):
                print(*report.lines(), sep="\n", flush=True)


def alternate(rounds: int, steps: Sequence[Callable[[], None]]) -> None:
    """Take every step once a round; the order turns by one, so that nobody always goes first."""
    for number in range(rounds):
        turn = number % len(steps)
        for step in (*steps[turn:], *steps[:turn]):
            step()
