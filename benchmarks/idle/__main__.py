"""Measure a provider of a hundred machines that write nothing, looked at every 30 s: processor and memory.

Those machines are of the fake hypervisor, in the provider's own process, so their memory is in the figure.
Then its peak memory while several real ones are copied at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bascule.model.items import Wish
from bascule.replication.provider.folder import ItemFolder
from benchmarks.data.process import say
from benchmarks.report import OURS, Figure, Report
from lab.waiting import wait_until

from .busy import measure
from .items import protect

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 300


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.idle", description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=120, help="how long is measured")
    parser.add_argument("--busy", type=int, default=6, help="machines that are copied at once")
    parser.add_argument("--busy-mib", type=int, default=512, help="what each of them has on its disk")
    chosen = parser.parse_args()
    percent = Report(Figure("idle-100-percent", "percent", bench="idle"))
    memory = Report(Figure("idle-100-memory", "MiB", bench="idle"))
    with tempfile.TemporaryDirectory(prefix="bascule-idle-") as folder:
        names = [f"m{number}" for number in range(chosen.machines)]
        items = protect(Path(folder), [Wish(name, (f"fake:{name}",), "", "") for name in names])
        command = [sys.executable, "-m", "bascule.apps.provider", str(Path(folder) / "provider")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                say(f"{chosen.machines} first points, and a look at each")
                _wait(items)
                before, begun = _spent(process.pid), time.monotonic()
                say(f"{chosen.seconds} s of nothing")
                _let_run(process, chosen.seconds)
                spent = _spent(process.pid) - before
                percent.add(OURS, 100 * spent / (time.monotonic() - begun))
                memory.add(OURS, _resident_mib(process.pid))
            finally:
                process.terminate()
    with tempfile.TemporaryDirectory(prefix="bascule-busy-") as folder:
        busy = measure(Path(folder), chosen.busy, chosen.busy_mib)
    print(*percent.lines(), *memory.lines(), *busy.lines(), sep="\n", flush=True)
    return 0


def _wait(items: list[ItemFolder]) -> None:
    wait_until(
        lambda: all(item.facts().totals.idle_cycles for item in items),
        _START_SECONDS,
        "the provider to come to all machines",
    )


def _let_run(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let a process run for a span of time, or raise if it ends in it."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"the provider ended with exit code {code}")


def _spent(process: int) -> float:
    """Return the seconds of processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    sys.exit(main())
