"""Full copy, delta and restore: everyone in turn, round after round.

In each round a runner gets an empty store and the whole chain, then its store
is deleted. The order turns by one each round, so that nobody always runs first.
Beside them runs what no copy of our form can do without: the native calls alone, the floor of ``full``.
Sources, and for ``restore`` the stores, are in the page cache; for
``restore-cold`` the stores are evicted from it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks.report import OURS, Figure, Report

from .. import images
from ..bench import Bench
from ..process import Cost, say, synced
from ..runner import Room, Runner
from .ceiling import natives
from .memory import memory

FIGURES: Final = (
    Figure("full", "s"),
    Figure("stored", "MiB"),
    Figure("delta", "s"),
    Figure("delta-stored", "MiB"),
    Figure("restore", "s"),
    Figure("restore-cold", "s"),
)
_MEMORY: Final = ("memory-copy", "memory-restore")
NAMES: Final = (*(figure.name for figure in FIGURES), *_MEMORY)
_DELTAS: Final = ("delta", "delta-stored")


class Chain:
    """Runs runners through the figures that are wanted, and collects what they took."""

    def __init__(self, bench: Bench, image: images.Image) -> None:
        self._bench, self._image = bench, image
        self.reports = {figure.name: Report(figure) for figure in FIGURES}
        self.peaks: dict[str, int] = {}

    def turn(self, runner: Runner, *, verify: bool) -> None:
        """Take one runner from an empty store to a restored disk."""
        with self._bench.room(runner.name) as path:
            room = Room(path / "room", self._image)
            room.open()
            runner.prepare(room)
            source = self._full(runner, room)
            if runner.has_delta and any(map(self._bench.wants, _DELTAS)):
                source = self._delta(runner, room)
            for figure in ("restore", "restore-cold"):
                if self._bench.wants(figure):
                    self._restore(runner, room, source, figure)
            if verify and not (self._bench.wants("restore") or self._bench.wants("restore-cold")):
                self._restore(runner, room, source, "")

    def floor(self) -> None:
        """Take the native calls of a full copy alone."""
        with self._bench.room("natives") as room:
            images.warm(self._image.before)
            self._keep("full", "natives", self._timed(lambda: natives(self._image.before, room)))

    def _full(self, runner: Runner, room: Room) -> Path:
        images.warm(room.disk)
        self._keep("full", runner.name, self._timed(runner.full))
        self._stored("stored", runner.name, runner.stored_bytes())
        return self._image.before

    def _delta(self, runner: Runner, room: Room) -> Path:
        before = runner.stored_bytes()
        room.change()
        images.warm(room.disk)
        self._keep("delta", runner.name, self._timed(runner.delta))
        self._stored("delta-stored", runner.name, runner.stored_bytes() - before)
        return self._image.after

    def _restore(self, runner: Runner, room: Room, source: Path, figure: str) -> None:
        into = room.path / f"restored{figure}"
        into.mkdir()
        (images.evict if figure == "restore-cold" else images.warm)(room.store)
        cost = self._timed(lambda: runner.restore(into))
        if figure:
            self._keep(figure, runner.name, cost)
        images.must_equal(into / "disk.img", source, runner.name)
        (into / "disk.img").unlink()

    def _timed(self, step: Callable[[], Cost]) -> Cost:
        # As much as the step can fill with what it reads and writes through the page cache.
        return synced(step, touch_bytes=self._image.size_bytes)

    def _keep(self, figure: str, who: str, cost: Cost) -> None:
        say(f"{figure} {who}: {cost.wall_s:.2f} s, {cost.cpu_s:.2f} CPU-s, peak {cost.peak_bytes >> 20} MiB")
        self.reports[figure].add(who, cost.wall_s, cost.cpu_s)
        if who == OURS:
            name = _MEMORY[figure.startswith("restore")]
            self.peaks[name] = max(self.peaks.get(name, 0), cost.peak_bytes)

    def _stored(self, figure: str, who: str, count: int) -> None:
        if who != "rsync" or figure == "stored":  # In place: a delta stores nothing beside the copy.
            self.reports[figure].add(who, count / images.MIB)


def measure(bench: Bench, runners: Iterable[Runner]) -> None:
    """Run all rounds, then print full, stored, delta, delta-stored, restore and restore-cold."""
    order = list(runners)
    for runner in order:
        runner.install(bench.cache)
    chain = Chain(bench, bench.mixed())
    for number in range(bench.rounds):
        say(f"round {number + 1} of {bench.rounds}")
        for runner in order:
            chain.turn(runner, verify=number == 0)
        if bench.compares("natives"):
            chain.floor()
        order.append(order.pop(0))
    bench.emit(*chain.reports.values())
    bench.emit(*(memory(name, peak) for name, peak in chain.peaks.items()))
