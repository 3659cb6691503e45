"""Measure the API: many clients that list many items, beside a bare handler with the same bytes in memory.

The clients are on the machine of the server, so their share of its processors is in the times; requests are
counted by the seconds of processor that the server itself used. The two are asked in turn, round after round,
so that both have the same neighbours, and medians are told. No host is there to say how the machines are, so
something is wrong with each of them: that is in the pages, and the server goes on looking after it, which
counts as well.
"""

from __future__ import annotations

import argparse
import json
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, closing
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks.data.process import listens_tcp, say, serving, spent_seconds
from benchmarks.installed import compiled
from benchmarks.report import OURS, Figure, Report
from benchmarks.vault.asking import p95
from benchmarks.vault.filling import Size, fill
from lab.servers.vaults import MAIN, VaultServer
from lab.waiting import wait_until

_STARTS = 7


def main() -> int:
    """Measure; figures go to stdout."""
    parser = argparse.ArgumentParser(prog="benchmarks.api", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=4, help="how long each is asked in a round")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    compiled()
    with tempfile.TemporaryDirectory(prefix="bascule-api-") as folder:
        _listed(Path(folder), chosen)
    _started()
    return 0


def _listed(folder: Path, chosen: argparse.Namespace) -> None:
    latency = Report(Figure("list-p95", "ms", bench="api"))
    rate = Report(Figure("list-per-cpu-second", "requests/CPU-s", more_is_better=True, bench="api"))
    with VaultServer(folder / "srv", log="error") as server:
        server.stop()
        for left in server.folder.glob("catalog.db*"):
            left.unlink()
        say(f"a catalog of {chosen.items} items")
        fill(server.folder / "catalog.db", Size(1, chosen.items, 0, 0), ())
        server.restart()
        wait_until(lambda: _all_told(server, chosen.items), 600, "what is wrong with all items")
        port = urlsplit(server.api).port or 0
        authority = server.folder / "pki" / "authority.pem"
        headers, pages = _walked(server, port, authority, folder / "pages")
        say(f"{chosen.clients} clients, {len(pages)} pages")
        plan = {"clients": chosen.clients, "seconds": chosen.seconds, "authority": str(authority)}
        bare_port = _free_port()
        names = [f"/{number}" for number in range(len(pages))]
        with _bare(server.folder / "pki", folder / "pages", bare_port) as bare:
            asks = {
                OURS: ({**plan, "port": port, "pages": pages, "headers": headers}, server.pid),
                "bare-fastapi": ({**plan, "port": bare_port, "pages": names, "headers": {}}, bare),
            }
            for _ in range(chosen.rounds):
                for who, (asking, pid) in asks.items():
                    took, spent = _asked(asking, pid)
                    latency.add(who, p95(took))
                    rate.add(who, len(took) / spent)
    print(*latency.lines(), *rate.lines(), sep="\n", flush=True)


def _all_told(server: VaultServer, items: int) -> bool:
    """Has the server found what is wrong with the items? Pages stay as they are from then on."""
    with closing(sqlite3.connect(f"file:{server.folder / 'catalog.db'}?mode=ro", uri=True)) as catalog:
        told = catalog.execute("SELECT count(*) FROM bascule_shelves WHERE kind = 'condition'").fetchone()
    return int(told[0]) >= items


def _walked(server: VaultServer, port: int, authority: Path, kept: Path) -> tuple[dict[str, str], list[str]]:
    """List all items once, keep the bytes of each page, and return the headers and the paths of pages."""
    first = json.loads((server.folder / "first-principal.json").read_text())
    line = HTTPSConnection("127.0.0.1", port, context=ssl.create_default_context(cafile=str(authority)))
    form = {
        **{"grant_type": "client_credentials", "scope": f"{server.api}/.default"},
        **{"client_id": first["client_id"], "client_secret": first["client_secret"]},
    }
    words = {"Content-Type": "application/x-www-form-urlencoded"}
    line.request("POST", f"/{first['tenant']}/oauth2/v2.0/token", urlencode(form), words)
    headers = {"Authorization": f"Bearer {json.loads(line.getresponse().read())['access_token']}"}
    group = (
        f"/subscriptions/{first['subscription']}/resourceGroups/bascule/providers/Microsoft.RecoveryServices"
    )
    path = f"{group}/vaults/vault-0000/replicationProtectedItems?api-version=2025-08-01"
    kept.mkdir()
    pages: list[str] = []
    while path:
        line.request("GET", path, headers=headers)
        answer = line.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} is answered {answer.status}: {data[:300]!r}")
        (kept / str(len(pages))).write_bytes(data)
        pages.append(path)
        link = urlsplit(json.loads(data).get("nextLink") or "")
        path = f"{link.path}?{link.query}" if link.path else ""
    return headers, pages


def _asked(plan: dict[str, object], server: int) -> tuple[list[float], float]:
    """Let clients ask, and return what they saw and the seconds of processor that it cost the server."""
    before = spent_seconds(server)
    command = [sys.executable, "-m", "benchmarks.api.clients"]
    said = subprocess.run(command, input=json.dumps(plan).encode(), stdout=subprocess.PIPE, check=True).stdout
    spent, found = spent_seconds(server) - before, json.loads(said)
    if found["wrong"]:
        raise RuntimeError(f"answered {set(found['wrong'])}")
    return found["took"], spent


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _bare(pki: Path, pages: Path, port: int) -> AbstractContextManager[int]:
    shown = [pki / "api.pem", pki / "api.key"]
    return serving([sys.executable, "-m", "benchmarks.api.bare", pages, *shown, str(port)], listens_tcp(port))


def _started() -> None:
    """Measure from the command to its end, for a command that only helps."""
    report = Report(Figure("cli-start-ms", "ms", bench="api"))
    for _ in range(_STARTS):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", MAIN, "item", "--help"], check=True, stdout=subprocess.DEVNULL)
        report.add(OURS, 1000 * (time.monotonic() - began))
    print(*report.lines(), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
