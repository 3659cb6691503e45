"""The README is run: every command of its tour, in order, and what it shows is what is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.compile(r"^```(?P<kind>sh|console)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


PREPARED = (
    "ip link set lo up",
    "set -xeuo pipefail",
    "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT",
)


def blocks() -> list[tuple[str, str]]:
    return [(match["kind"], match["body"]) for match in BLOCKS.finditer((ROOT / "README.md").read_text())]


def commands() -> list[str]:
    """Every command line: all lines of ``sh`` blocks, and of ``console`` blocks those behind a prompt."""
    return [
        line.removeprefix("$ ")
        for kind, body in blocks()
        for line in body.splitlines()
        if line and (kind == "sh" or line.startswith("$ "))
    ]


def shown() -> list[str]:
    """Every line that the README says a command prints."""
    return [
        line
        for kind, body in blocks()
        for line in body.splitlines()
        if kind == "console" and line and not line.startswith("$ ")
    ]


def shape(line: str) -> str:
    """Leave out what differs from run to run: numbers, sizes, dates, and how wide a column is."""
    if not line.startswith("exit code"):
        line = re.sub(r"\d[\d.:-]*(?: (?:[KMG]i)?B\b)?", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def test_every_make_target_named_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text()
        named = set(re.findall(r"^ *make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE))
        assert named
        assert {one or other for one, other in named} <= targets, document


def test_the_readme_opens_with_the_two_commands() -> None:
    assert [line.split("#")[0].strip() for line in commands()[:2]] == ["make demo", "make test"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="tour-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.lab
def test_the_tour_works_as_it_is_written(folder: Path) -> None:
    tour = [line for line in commands() if not line.startswith("make ")]
    assert len(tour) > 20
    tools = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"]
    environment = {"PATH": ":".join(tools), "HOME": str(folder), "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    done = subprocess.run(
        [
            # The ports of its server are for this tour alone, and whatever it started ends with it.
            *("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("bash", "-c", "\n".join([*PREPARED, *tour])),
        ],
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    printed = {shape(line) for line in done.stdout.splitlines()}
    assert [line for line in shown() if shape(line) not in printed] == [], done.stdout
