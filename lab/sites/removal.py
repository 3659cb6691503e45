"""Removing sites: their processes, their namespaces with all links in them, their control groups."""

from __future__ import annotations

import contextlib
import os
import re

from lab.filesystems import tool

from . import power

_PREFIX = re.compile(r"bsc(?P<pid>\d+)x(?P<begun>\d+)n\d+")


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
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        top.rmdir()


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
