"""Measure a server of vaults: many vaults, items and events, many clients, many hosts. SQLite throughout.

Clients and hosts are on the machine of the server, so their share of its processors is in the times; the
server's own processor time is beside them. Recovery points are not in the catalog: they are asked of the
hosts. Jobs run between fake sites, so their figure is that of the engine alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import structlog

from benchmarks.data.process import say, spent_seconds
from benchmarks.report import OURS, Figure, Report
from lab.servers.vaults import VaultServer

from . import asking, hosts, working
from .filling import Size, fill, item_id, vault_of

_LIKE = 0.1
_ROUNDS_MAX = 30


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.vault", description=__doc__)
    parser.add_argument("--vaults", type=int, default=100)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20, help="how long each is measured")
    parser.add_argument("--jobs", type=int, default=200)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    _raise_limit()
    size = Size(chosen.vaults, chosen.items, chosen.hosts, chosen.events)
    with tempfile.TemporaryDirectory(prefix="bascule-vault-") as folder:
        _served(Path(folder), size, chosen)
        _item_by_item(Path(folder), size)
        say(f"{chosen.jobs} items enabled by jobs")
        _show("jobs", "jobs/s", working.jobs_per_second(Path(folder), chosen.jobs), more_is_better=True)
    return 0


def _served(folder: Path, size: Size, chosen: argparse.Namespace) -> None:
    """Measure a server that hosts are connected to, and that clients ask."""
    with VaultServer(folder / "srv", log="error") as server:
        known = _joined(server, folder, size)
        server.stop()
        for left in server.folder.glob("catalog.db*"):
            left.unlink()
        say(f"a catalog of {size}")
        fill(server.folder / "catalog.db", size, tuple(known))
        server.restart()
        say(f"{size.hosts} hosts connect")
        items = {
            str(place): [item_id(number) for number in range(at, size.items, size.hosts)]
            for at, place in enumerate(known.values())
        }
        plan = folder / "hosts.json"
        plan.write_text(json.dumps(items))
        command = [sys.executable, "-m", "benchmarks.vault.hosts", str(plan)]
        with subprocess.Popen(command) as living:
            try:
                _in_step(server)
                _idle(server, chosen.seconds, living)
            finally:
                living.terminate()
        _asked(server, size, chosen)


def _joined(server: VaultServer, folder: Path, size: Size) -> dict[str, Path]:
    say(f"{size.hosts} hosts join")
    server.call("vaults.create", name="vault")
    server.call("fabrics.create", vault="vault", name="site")
    key = server.call("fabrics.invite", vault="vault", fabric="site", lasts_seconds=36_000)
    found = {}
    for number in range(size.hosts):
        place = folder / f"host-{number}"
        place.mkdir()
        found[hosts.join(place, json.dumps(key).encode(), f"host-{number}")] = place
    return found


def _in_step(server: VaultServer) -> None:
    """Wait until a round of reports costs what the one before did: all have connected, and all was said."""
    costs = [float("inf")]
    while len(costs) <= _ROUNDS_MAX:
        before = spent_seconds(server.pid)
        time.sleep(hosts.EVERY_SECONDS)  # a round of reports
        costs.append(spent_seconds(server.pid) - before)
        if abs(costs[-1] - costs[-2]) <= _LIKE * costs[-1]:
            return
    raise RuntimeError(f"the hosts never came in step: {costs[1:]}")


def _idle(server: VaultServer, seconds: int, living: subprocess.Popen[bytes]) -> None:
    say(f"{seconds} s of reports")
    before, began = spent_seconds(server.pid), time.monotonic()
    time.sleep(seconds)  # the window that is measured
    percent = 100 * (spent_seconds(server.pid) - before) / (time.monotonic() - began)
    if living.poll() is not None:
        raise RuntimeError("the hosts ended")
    _show("hosts-percent", "percent", percent)
    _show("hosts-memory", "MiB", _resident_mib(server.pid))


def _asked(server: VaultServer, size: Size, chosen: argparse.Namespace) -> None:
    def vault(number: int) -> str:
        return vault_of(number, size)

    questions = {
        "get": asking.caller(server.folder, "items.get", vault=vault, item=lambda n: item_id(n % size.items)),
        "list": asking.caller(server.folder, "items.list", vault=vault),
        "events": asking.caller(server.folder, "signs.events", vault=vault),
        "change": asking.caller(
            server.folder, "vaults.assign", vault=vault, name=str, role=lambda _: "reader"
        ),
    }
    for name, ask in questions.items():
        say(f"{chosen.clients} clients: {name}")
        before = spent_seconds(server.pid)
        took = asking.asked(chosen.clients, chosen.seconds, ask)
        spent = spent_seconds(server.pid) - before
        _show(f"{name}-p95", "ms", asking.p95(took))
        _show(f"{name}-rate", "calls/s", len(took) / chosen.seconds, more_is_better=True)
        _show(f"{name}-cpu", "ms", 1000 * spent / len(took))
    _show("memory", "MiB", _resident_mib(server.pid))


def _item_by_item(folder: Path, size: Size) -> None:
    """Measure what a look of the watch costs for each item, in small catalogs and in large ones."""
    items = 100
    while items <= size.items:
        place = folder / f"catalog-{items}.db"
        fill(place, Size(max(1, items // 100), items, 0, 0), ())
        spent = working.look_seconds(place, folder / f"hosts-{items}.db")
        _show(f"look-{items}", "us/item", 1e6 * spent / items)
        items *= 10


def _show(name: str, unit: str, value: float, *, more_is_better: bool = False) -> None:
    report = Report(Figure(name, unit, more_is_better, bench="vault"))
    report.add(OURS, value)
    print(*report.lines(), sep="\n", flush=True)


def _resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _raise_limit() -> None:
    """Allow as many connections as the system does; the processes that are started inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
