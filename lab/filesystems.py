"""Disks with an ext4 file system on them, made, changed and checked without mounting anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from .children import started

# A plain user's PATH may lack the folder where these tools are.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_SMALLEST, _LARGEST = 16 << 10, 8 << 20


class ToolFailed(Exception):
    """A tool of e2fsprogs said no."""


def tool(*words: str | Path) -> str:
    """Run a tool and return what it printed."""
    settings = os.environ | {"PATH": _PATH, "LC_ALL": "C"}
    with started(words, env=settings, stderr=subprocess.STDOUT) as process:
        out, _ = process.communicate()
    if process.returncode:
        raise ToolFailed(f"{words[0]} ended with {process.returncode}: {out.strip()[-2000:]}")
    return out


def make(image: Path, size: int, content: Path) -> None:
    """Make a raw disk of ``size`` bytes whose file system holds what the folder ``content`` holds."""
    with image.open("xb") as stream:
        stream.truncate(size)
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=0", "-d", content, image)


def replace(image: Path, files: Mapping[str, Path]) -> None:
    """Put other content into files of the disk, as a machine that was at work would have."""
    script = image.with_suffix(".debugfs")
    # Names in the disk go without their leading slash: `write` takes them from the root.
    script.write_text("".join(f"rm {name}\nwrite {source} {name}\n" for name, source in files.items()))
    try:
        said = tool("debugfs", "-w", "-f", script, image)
    finally:
        script.unlink()
    if "File not found" in said or "No such file" in said:
        raise ToolFailed(f"debugfs: {said.strip()[-2000:]}")


def check(image: Path) -> None:
    """Raise ToolFailed unless every structure of the file system is sound. Writes nothing."""
    tool("e2fsck", "-f", "-n", image)


def check_at_rest(image: Path) -> None:
    """Raise ToolFailed unless the file system is sound and has no journal to replay: unmounted, or frozen."""
    check(image)
    if "needs_recovery" in tool("dumpe2fs", "-h", image):
        raise ToolFailed(f"the file system on {image} was cut off: its journal has to be replayed")


def read(image: Path, name: str, target: Path) -> bytes:
    """Return the content of a file of the disk, by way of ``target``."""
    tool("debugfs", "-R", f"dump {name} {target}", image)
    return target.read_bytes()


def system_files(budget: int) -> Iterator[Path]:
    """Yield files of this machine, up to so many bytes: they compress like those of any machine."""
    for root in ("/usr/lib", "/usr/share", "/usr/bin"):
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                size = 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
                if not _SMALLEST <= size <= _LARGEST or not os.access(path, os.R_OK):
                    continue
                budget -= size
                if budget < 0:
                    return
                yield path
