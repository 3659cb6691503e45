from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data.figures import instant
from lab.waiting import wait_until

FIGURES = {
    "full",
    "stored",
    "delta",
    "delta-stored",
    "restore",
    "restore-cold",
    "memory-copy",
    "memory-restore",
}
PEERS = {"qemu-img-zstd", "rsync"}


def run(cache: Path, *words: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "benchmarks.data", "--quick", "--size-mib", "64", "--cache", str(cache)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.lab
def test_a_quick_run_prints_every_figure_against_every_peer_and_nothing_else(tmp_path: Path) -> None:
    lines = run(tmp_path, "--only", ",".join(FIGURES), "--against", ",".join(PEERS))

    for line in lines:
        assert line["bench"] == "data"
        assert line.keys() >= {"figure", "against", "value", "unit", "ratio"}
        assert isinstance(line["value"], float)
    pairs = {(line["figure"], line["against"]) for line in lines}
    assert {figure for figure, _ in pairs} == FIGURES
    assert {("full", peer) for peer in PEERS} | {("restore", peer) for peer in PEERS} <= pairs
    assert ("delta", "rsync") in pairs
    assert ("delta", "qemu-img-zstd") not in pairs


@pytest.mark.long
def test_live_sources_sparse_disks_and_many_points_are_measured(tmp_path: Path) -> None:
    lines = run(tmp_path, "--only", "ceiling,from-nbd,sparse-256GiB,sparse-1TiB,open-10000")

    assert [(line["figure"], line["against"]) for line in lines] == [
        ("ceiling", "no-write"),
        ("from-nbd", "nbdcopy"),
        ("sparse-256GiB", "sparse-16GiB"),
        ("sparse-1TiB", "sparse-16GiB"),
        ("open-10000", "open-10"),
    ]
    assert all(isinstance(line["ratio"], float) for line in lines)


@pytest.mark.lab
def test_served_points_are_measured_beside_qemu(tmp_path: Path) -> None:
    lines = run(tmp_path, "--only", ",".join(instant.NAMES))

    assert {line["figure"] for line in lines} == set(instant.NAMES)
    assert all(line["value"] for line in lines)


@pytest.mark.lab
def test_a_run_that_is_stopped_leaves_neither_processes_nor_stores(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.data",
        "--quick",
        "--size-mib",
        "64",
        "--cache",
        str(tmp_path),
    ]
    with subprocess.Popen([*command, "--only", "from-nbd"], stderr=subprocess.DEVNULL) as bench:
        wait_until(lambda: any(tmp_path.glob("rooms/*/*/source")))
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        bench.terminate()

        assert bench.wait(60) == 143

    assert children
    left = [Path(f"/proc/{child}/cmdline") for child in children]
    assert not [path.read_text() for path in left if path.exists()]
    assert not any((tmp_path / "rooms").iterdir())
