"""What a machine shows and says: its screen, its console."""

from __future__ import annotations

import os
from pathlib import Path

from bascule.ports.chance import Ids

from .folder import MachineFolder
from .power import talk_to

_CONSOLE_BYTES_MAX = 4 << 20


def screen_of(folder: MachineFolder, ids: Ids) -> bytes:
    """Return the screen of a running machine as a PNG. QEMU draws into a file, which goes again."""
    path = folder.path / f"screen-{ids.random(4).hex()}.png"
    try:
        with talk_to(folder) as monitor:
            monitor.execute("screendump", filename=str(path), format="png")
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def console_of(folder: MachineFolder) -> str:
    """Return the end of what the console said since the last start, up to 4 MiB."""
    try:
        return _end_of(folder.console).decode(errors="replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""


def _end_of(path: Path) -> bytes:
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _CONSOLE_BYTES_MAX))
        return stream.read()
