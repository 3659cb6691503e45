from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.lab


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="demo-"))
    yield made
    shutil.rmtree(made)


def demo(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """Start the demo with a small disk, and ``folder`` for its temporary files."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab.demo", "96"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def nothing_is_left(folder: Path) -> bool:
    """Tell whether neither a file nor a process of the demo is left."""
    lines = [line for line in Path("/proc").glob("[0-9]*/environ") if str(folder).encode() in read(line)]
    return not list(folder.iterdir()) and not lines


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended meanwhile, or it is another user's


def test_the_demo_holds_what_it_says_and_cleans_up(folder: Path) -> None:
    with demo(folder) as process:
        out, _ = process.communicate(timeout=290)
    assert process.returncode == 0, out
    assert "All checks held" in out
    for command in ("login", "protect", "test", "fail-over", "commit", "reprotect", "fail-back"):
        assert f"office$ bascule {command if command == 'login' else f'item {command}'}" in out
    assert re.search("> POST /.*/replicationProtectedItems/shop/unplannedFailover", out), "the API is shown"
    assert "shop: to stay at rome, and not to be cancelled any more; its other points are removed" in out
    assert "shop: to stay at paris, and not to be cancelled any more; its machine and disks at rome" in out
    assert "ok: the first site starts nothing and publishes nothing" in out
    for figure in ("RTO", "RPO", "written over there, all that came home"):
        assert f"   {figure}" in out.split("-- Figures")[1]
    assert nothing_is_left(folder)


@pytest.mark.parametrize(
    "verb", ["serve", "item test", pytest.param("item fail-back", marks=pytest.mark.long)]
)
def test_a_demo_that_is_stopped_leaves_nothing(folder: Path, verb: str) -> None:
    with demo(folder) as process:
        assert process.stdout is not None
        while f"$ bascule {verb}" not in (said := process.stdout.readline()):
            assert said, "it ended before"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert nothing_is_left(folder)


def test_a_demo_that_fails_says_so_and_leaves_nothing(folder: Path) -> None:
    with demo(folder, PATH="/nonexistent") as process:
        out, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "The demo failed" in out
    assert nothing_is_left(folder)
