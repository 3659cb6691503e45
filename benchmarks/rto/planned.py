"""How long a machine is away that is handed over and failed over, beside its own stop and boot.

Its guest writes 5 MB a second or more, and it is replicated every 5 s until then. Ours is from the
command ``bascule replica hand-over`` at one host until the ledger is up on the other; the other is ``bascule
machine stop`` and ``start`` of the same machine on one host, before anything replicates it.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from bascule.model.machines import written
from benchmarks.report import OURS, Figure, Report
from lab import machines
from lab.machines import Keeping
from lab.sites import Sites
from lab.stage import MACHINE, PATIENCE_SECONDS, Stage
from lab.waiting import wait_until

NAME = "planned-downtime"
_BLOCK = 4096
_POINTS = 3
_LOAD = Keeping(MACHINE, records_a_second=96, writes_a_record=20, slots=512, disk_mib=64)


def measure(rounds: int) -> list[str]:
    """Return a line for the downtime, and one for how much was written meanwhile."""
    downtime, rate = (
        Report(Figure(NAME, "s", bench="rto")),
        Report(Figure("planned-writes", "MB/s", True, "rto")),
    )
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(prefix="rto-") as folder,
            Sites() as sites,
            redirect_stdout(sys.stderr),
        ):
            _round(Stage(Path(folder), sites), downtime, rate)
    return downtime.lines() + rate.lines()


def _round(stage: Stage, downtime: Report, rate: Report) -> None:
    first, second = stage.first, stage.second
    stage.path("shop.json").write_text(written(machines.make(_LOAD, stage.path("images"))))
    first.run("machine", "define", MACHINE, "--file", "shop.json")
    first.run("machine", "start", MACHINE)
    first.wait_for_console("ledger: acknowledged")
    begun = time.monotonic()
    first.run("machine", "stop", MACHINE)
    first.run("machine", "start", MACHINE)
    first.wait_until_up(MACHINE)
    downtime.add("stop-and-boot", time.monotonic() - begun)
    rate.add(OURS, _replicated(stage))
    begun = time.monotonic()
    first.run("replica", "hand-over", "store", MACHINE)
    second.run("replica", "fail-over", "store", MACHINE)
    second.wait_until_up(MACHINE)
    downtime.add(OURS, time.monotonic() - begun)


def _replicated(stage: Stage) -> float:
    """Replicate the machine for a while; return how many MB it wrote in a second meanwhile."""
    first = stage.first
    first.run("key", "create", "main.key")
    first.run("store", "init", "store")
    first.run("protect", f"first#{MACHINE}", "store", "--group", MACHINE, "--every", "5s")
    first.wait_for_console("ledger: acknowledged")
    records, begun = _acknowledged(stage), time.monotonic()
    first.begin("provider", "run", "first-provider")
    wait_until(lambda: stage.points(MACHINE) >= _POINTS, PATIENCE_SECONDS, "points")
    written_bytes = (_acknowledged(stage) - records) * (_LOAD.writes_a_record + 1) * _BLOCK
    return written_bytes / (time.monotonic() - begun) / 1e6


def _acknowledged(stage: Stage) -> int:
    return max(map(int, re.findall(r"ledger: acknowledged (\d+)", stage.first.console(MACHINE))))
