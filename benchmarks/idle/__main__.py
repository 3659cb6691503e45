"""Measure a provider of a hundred machines that write nothing, looked at every 30 s: processor and memory.

The machines are of the fake hypervisor, in the provider's own process, so their memory is in the figure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import KeyFile, Vault
from bascule.drivers.objects.local import LocalStore
from bascule.model.items import Wish
from bascule.replication.provider.folder import ItemFolder, ProviderFolder
from benchmarks.data.process import say
from benchmarks.report import OURS, Figure, Report
from lab.waiting import wait_until

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 300


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.idle", description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=120, help="how long is measured")
    chosen = parser.parse_args()
    percent = Report(Figure("idle-100-percent", "percent", bench="idle"))
    memory = Report(Figure("idle-100-memory", "MiB", bench="idle"))
    with tempfile.TemporaryDirectory(prefix="bascule-idle-") as folder:
        items = _protect(Path(folder), chosen.machines)
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
    print(*percent.lines(), *memory.lines(), sep="\n", flush=True)
    return 0


def _protect(room: Path, count: int) -> list[ItemFolder]:
    key = KeyFile.create(room / "main.key", SystemIds())
    store = LocalStore(room / "store", create=True)
    Vault.init(store, key, ids=SystemIds(), clock=SystemClock())
    store.close()
    provider = ProviderFolder(room / "provider")
    items = [provider.item(f"m{number}") for number in range(count)]
    for item in items:
        wish = Wish(item.group, (f"fake:{item.group}",), str(room / "store"), str(room / "main.key"))
        item.change(partial(_instead, wish))
    return items


def _wait(items: list[ItemFolder]) -> None:
    wait_until(
        lambda: all(item.facts().totals.idle_cycles for item in items),
        _START_SECONDS,
        "the provider to come to all machines",
    )


def _instead(wish: Wish, _before: Wish | None) -> Wish:
    return wish


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
