"""Cutting the power of a host or a site: every process of it ends, and none of them is asked.

Processes belong to a host by its network namespace and, where the kernel has them and lets us, by a
control group, which ends all of its members in one step. A process that was started detached is a member
like any other. What a program had written to a file is in this machine's page cache and stays: a cut
loses what was in the memory of processes. That a store survives losing more is for its own tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.waiting import wait_until

NAMESPACES = Path("/run/netns")
_DEADLINE_S = 30.0


def control_groups() -> Path | None:
    """Return the folder in which we may make control groups, None if there is none."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    mount = next((words[1] for words in mounts if words[2] == "cgroup2"), None)
    mine = next((line for line in _lines("/proc/self/cgroup") if line.startswith("0::/")), None)
    if mount is None or mine is None:
        return None
    folder = Path(mount, mine.removeprefix("0::/"))
    probe = folder / f"bsc-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return None
    has_kill = (probe / "cgroup.kill").exists()
    probe.rmdir()
    return folder if has_kill else None


def cut(groups: Sequence[Path], namespaces: Iterable[str]) -> None:
    """End all processes of control groups and of network namespaces; return when none is left.

    A process that ends leaves its namespace before its control group, which cannot be removed until then.
    """
    for group in groups:
        (group / "cgroup.kill").write_text("1")
    inodes = {inode for name in namespaces if (inode := _inode(NAMESPACES / name))}
    wait_until(
        lambda: not _kill_all(inodes) and not any(map(_is_populated, groups)),
        _DEADLINE_S,
        f"the end of all processes of {namespaces}",
    )


def _is_populated(group: Path) -> bool:
    return "populated 1" in _lines(str(group / "cgroup.events"))


def _kill_all(inodes: Iterable[int]) -> list[int]:
    """Kill all processes in network namespaces, and return which there were."""
    found = members(inodes)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def members(inodes: Iterable[int]) -> list[int]:
    """Return the processes in network namespaces; the dead that nobody has waited for do not count."""
    wanted, found = set(inodes), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _inode(folder / "ns" / "net") in wanted and _state(folder) not in "ZX":
            found.append(int(folder.name))
    return found


def namespace(name: str) -> int:
    """Return what tells a network namespace from others, 0 if it is not there."""
    return _inode(NAMESPACES / name)


def is_alive(pid: int, begun: int) -> bool:
    """Tell whether a process that began at this tick still runs; process numbers come again."""
    return begun == started_at(pid)


def started_at(pid: int) -> int:
    """Return the tick at which a process began, 0 if it is gone, or dead and nobody has waited for it."""
    fields = _after_name(Path("/proc", str(pid)))
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def _state(folder: Path) -> str:
    fields = _after_name(folder)
    return fields[0] if fields else "X"


def _after_name(folder: Path) -> list[str]:
    """Return the fields of a process's state behind its name, which may hold spaces and brackets."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
