"""What a domain shows and says: its screen as a PNG, its console."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

from bascule.model.errors import Damaged

from ..connection import Connection, Domain

_CONSOLE_BYTES_MAX = 4 << 20
_PIXMAP = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")


def screen_of(connection: Connection, domain: Domain) -> bytes:
    """Return the screen of a running machine, in whichever form libvirt sends it."""
    stream = connection.newStream()
    domain.screenshot(stream, 0)
    pieces: list[bytes] = []
    stream.recvAll(lambda _stream, data, _opaque: pieces.append(data), None)
    stream.finish()
    picture = b"".join(pieces)
    return picture if picture.startswith(b"\x89PNG") else png(picture)


def png(pixmap: bytes) -> bytes:
    """Return as a PNG what QEMU draws as a portable pixmap."""
    head = _PIXMAP.match(pixmap)
    if head is None:
        raise Damaged(f"libvirt sends a screen in a form that nobody knows: {pixmap[:16]!r}")
    width, height = int(head[1]), int(head[2])
    rows = (
        pixmap[at : at + 3 * width] for at in range(head.end(), head.end() + 3 * width * height, 3 * width)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 1))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def console_at(path: Path) -> str:
    """Return the end of what a console said since the last start, up to 4 MiB."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _CONSOLE_BYTES_MAX))
            return stream.read().decode(errors="replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
