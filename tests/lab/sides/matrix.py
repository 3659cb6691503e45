"""``python -m tests.lab.sides.matrix RESULTS``: whatever dies at whichever step of whichever verb.

Each cell of the matrix is a verb of recovery with real machines, a victim and a step. Its outcome is a line
of RESULTS as soon as it is known, so whoever was interrupted goes on. Steps come in an order that is spread
over the whole verb from the first one on: what there was time for is a sample of all of it. Each fifth cell
is patient: the machine boots and judges its own ledger; in the others its disks are judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from bascule.model.errors import BasculeError
from lab.stage import Failed
from tests.lab.sides.deaths import FAR_VICTIMS, PATIENT, VICTIMS, counted, endured
from tests.lab.sides.perils import PERILS
from tests.lab.sides.scenes import World, made

GOOD, NONE, BAD = "good", "no such step", "bad"


@dataclass(frozen=True, slots=True)
class Cell:
    """What happened to a victim at a step; step 0 says how many there are."""

    verb: str
    victim: str
    step: int
    outcome: str
    about: str
    seconds: float
    commit: str


class Results:
    """What is known, a line of JSON for each cell; of two lines on one cell the later one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cells: dict[tuple[str, str, int], Cell] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                self._know(Cell(**json.loads(line)))

    def _know(self, cell: Cell) -> None:
        self.cells[cell.verb, cell.victim, cell.step] = cell

    def add(self, cell: Cell) -> None:
        """Write a cell down."""
        with self._path.open("a") as stream:
            stream.write(json.dumps(asdict(cell)) + "\n")
        self._know(cell)

    def lacks(self, verb: str, victim: str, step: int) -> bool:
        """Tell whether a cell is still to be tried: it never was, or it went wrong."""
        cell = self.cells.get((verb, victim, step))
        return cell is None or cell.outcome == BAD

    def steps(self, verb: str) -> int:
        """Return how many steps a verb has, 0 if nobody counted."""
        cell = self.cells.get((verb, "", 0))
        return int(cell.about) if cell else 0


def spread(count: int) -> list[int]:
    """Return 1 to ``count`` from the middle on, each far from those before: the bits of 1, 2 … turned."""
    bits = count.bit_length()
    turned = (int(f"{number:0{bits}b}"[::-1], 2) + 1 for number in (*range(1, 1 << bits), 0))
    return [number for number in turned if number <= count]


_WRONG = (AssertionError, BasculeError, Failed, OSError, RuntimeError, subprocess.SubprocessError, ValueError)
"""What judges, the product, the lab and the system say of a bad cell; all else is a mistake of ours."""


def wanted(results: Results, verbs: Sequence[str], victims: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Yield what is to be tried, the first step of each row before the second of any."""
    rows = [
        [(verb, victim, step) for step in spread(results.steps(verb))] for verb in verbs for victim in victims
    ]
    for column in zip_longest(*rows):
        yield from (cell for cell in column if cell is not None and results.lacks(*cell))


def tried(world: World, verb: str, victim: str, step: int) -> Cell:
    """Try a cell."""
    begun = time.monotonic()
    try:
        before = endured(world, verb, step, victim, is_patient=step % PATIENT == 1)
        outcome, about = (GOOD, before) if before else (NONE, "")
    except _WRONG as error:
        outcome, about = BAD, "".join(traceback.format_exception(error))
    return Cell(verb, victim, step, outcome, about, round(time.monotonic() - begun, 1), commit())


def commit() -> str:
    """Return which state of the code is tried."""
    words = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def table(results: Results) -> list[str]:
    """Return how many steps of each verb were good for each victim, and those that were not."""
    count: Counter[tuple[str, str, str]] = Counter()
    for cell in results.cells.values():
        count[cell.verb, cell.victim, cell.outcome] += 1
    victims = (*VICTIMS, *FAR_VICTIMS)
    lines = [f"{'verb':<15}{'steps':>6}" + "".join(f"{victim:>15}" for victim in victims)]
    for verb in PERILS:
        row = ((count[verb, victim, GOOD], count[verb, victim, BAD]) for victim in victims)
        cells = (f"{good} good" * bool(good) + f" {bad} BAD" * bool(bad) or "-" for good, bad in row)
        lines.append(f"{verb:<15}{results.steps(verb):>6}" + "".join(f"{cell:>15}" for cell in cells))
    bad = [cell for cell in results.cells.values() if cell.outcome == BAD]
    lines += [f"BAD: {cell.verb}, {cell.victim}, step {cell.step}\n{cell.about}" for cell in bad]
    return lines


def fill(world: World, results: Results, rows: tuple[Sequence[str], Sequence[str]], seconds: float) -> None:
    """Try what is to be tried of some verbs and victims, for so long."""
    deadline = time.monotonic() + seconds
    verbs, victims = rows
    for verb in verbs:
        if not results.steps(verb):
            results.add(Cell(verb, "", 0, "", str(counted(world, verb)), 0.0, commit()))
    for cell in wanted(results, verbs, victims):
        if time.monotonic() > deadline:
            return
        results.add(tried(world, *cell))


def main() -> int:
    """Fill the table and show it; 1 if something in it is bad."""
    parser = argparse.ArgumentParser(description="Kill whatever there is at every step of every verb.")
    parser.add_argument("results", type=Path, help="where outcomes are kept; it is gone on with")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--verb", action="append", choices=PERILS, help="may be repeated [all]")
    parser.add_argument(
        "--victim", action="append", choices=(*VICTIMS, *FAR_VICTIMS), help="may be repeated [all]"
    )
    parser.add_argument("--far", action="store_true", help="the store is behind a network, which fails")
    parser.add_argument(
        "--folder", type=Path, help="a short one, where scenes are kept for the next run [none]"
    )
    parser.add_argument("--show", action="store_true", help="only show what is known")
    words = parser.parse_args()
    results = Results(words.results)
    rows = words.verb or [*PERILS], words.victim or [*(FAR_VICTIMS if words.far else VICTIMS)]
    if not words.show:
        with (
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            made(words.folder, far=words.far) as world,
        ):
            fill(world, results, rows, words.minutes * 60)
    sys.stdout.write("\n".join(table(results)) + "\n")
    return int(any(cell.outcome == BAD for cell in results.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
