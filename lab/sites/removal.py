"""Removing sites: their processes, their namespaces with all links in them, their control groups."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from lab.filesystems import tool
from lab.waiting import wait_until

from . import power

_PREFIX = re.compile(r"bsc(?P<pid>\d+)x(?P<begun>\d+)n\d+")
_DEADLINE_S = 30.0


def prefix(number: int) -> str:
    """Return what the names of this process's sites begin with: who finds them later sees that it is gone."""
    return f"bsc{os.getpid()}x{power.started_at(os.getpid())}n{number}"


def remove(begin: str) -> None:
    """Remove all sites whose names begin so; what is not there is removed already."""
    namespaces = [name for name in _namespaces() if name.startswith(f"{begin}-")]
    home = power.control_groups()
    top = home / begin if home and (home / begin).exists() else None
    power.cut([top] if top else [], namespaces)
    for name in namespaces:
        tool("ip", "netns", "del", name)
    if top:
        remove_group(top)


def remove_group(top: Path, seconds: float = _DEADLINE_S) -> None:
    """Remove a control group with all below it, once the last of its processes is gone; or raise.

    Who is killed leaves its network namespace, and then its control group, some time after.
    """
    wait_until(lambda: _is_empty(top), seconds, f"the end of all processes in {top}")
    below = (path for path in top.rglob("*") if path.is_dir())
    for group in [*sorted(below, reverse=True), top]:
        with contextlib.suppress(FileNotFoundError):  # somebody else removes the same orphan
            group.rmdir()


def _is_empty(group: Path) -> bool:
    try:
        return "populated 0" in (group / "cgroup.events").read_text().splitlines()
    except FileNotFoundError:
        return True


def remove_orphans() -> None:
    """Remove the sites of labs that were killed together with what should have removed them."""
    names = [*_namespaces(), *_groups()]
    for match in {match[0]: match for name in names if (match := _PREFIX.match(name))}.values():
        if not power.is_alive(int(match["pid"]), int(match["begun"])):
            remove(match[0])


def _namespaces() -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [path.name for path in power.NAMESPACES.iterdir()]
    return []


def _groups() -> list[str]:
    home = power.control_groups()
    return [path.name for path in home.glob("bsc*")] if home else []
