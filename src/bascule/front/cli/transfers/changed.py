"""A list of what changed on a disk, as somebody wrote it down."""

from __future__ import annotations

from pathlib import Path

from bascule.blocks.extents import Extent, merge
from bascule.model.errors import Refused


def read_extents(path: Path, size: int) -> list[Extent]:
    """Read lines of ``OFFSET LENGTH`` in bytes; empty lines, ``#`` lines and further words do not matter."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read the list of changes {path}: {error}", cure="check the path") from error
    found = [
        _extent(f"{path}, line {number}", line, size)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    return list(merge(sorted(found)))


def _extent(where: str, line: str, size: int) -> Extent:
    words = line.split()
    try:
        offset, length = int(words[0], 0), int(words[1], 0)
    except (ValueError, IndexError) as error:
        raise Refused(
            f"{where}: {line.strip()!r} is not OFFSET LENGTH", cure="write two numbers of bytes"
        ) from error
    if offset < 0 or length < 0 or offset + length > size:
        raise Refused(f"{where}: {length} bytes at {offset} are not inside the disk of {size} bytes")
    return Extent(offset, length)
