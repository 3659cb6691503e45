"""qcow2, VHDX, VMDK and VHD images, through a qemu-nbd of our own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bascule.blocks.extents import Extent
from bascule.model.errors import Missing, Refused

from .claims import claim_for_writing
from .connections import Connections
from .faults import translated
from .nbd import ALLOCATION, BITMAPS, NbdSink, NbdSource
from .qemu import QemuNbd, create_image
from .raw import Existing

_SECTOR: Final = 512


class ImageSource:
    """An image that nobody writes; with ``bitmap`` only what that persistent bitmap of a qcow2 marks."""

    def __init__(self, path: Path, image_format: str, *, bitmap: str = "") -> None:
        context = BITMAPS + bitmap if bitmap else ALLOCATION
        options = ["--read-only", f"--format={image_format}"]
        options += [f"--bitmap={bitmap}"] if bitmap else []
        self._server = QemuNbd(path, options, (context,))
        if context not in self._server.first.contexts:
            self._server.close()
            raise Missing(f"{path} has no dirty bitmap {bitmap!r}", cure="list them with qemu-img info")
        self._disk = NbdSource(Connections(self._server.first, self._server.connect), context)
        self.size_bytes = self._disk.size_bytes
        self.is_delta = self._disk.is_delta

    def extents(self) -> Iterator[Extent]:
        """Yield what is allocated and not known to be zero, or what is dirty."""
        return self._disk.extents()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        self._disk.read_into(offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset, several at a time."""
        self._disk.read_many(pieces)

    def close(self) -> None:
        """Close the image and end its server; safe to call twice."""
        self._disk.close()
        self._server.close()


class ImageSink:
    """A new image, sparse inside, or one that is there and gets updated."""

    def __init__(self, path: Path, image_format: str, size: int, *, existing: Existing = "refuse") -> None:
        if size % _SECTOR:
            raise Refused(
                f"A {image_format} image cannot have {size} bytes, which are no whole sectors of {_SECTOR}",
                cure="write to a raw disk instead",
            )
        if existing != "refuse":
            _claim(path)
        if existing == "replace":
            with translated(f"replace {path}"):
                path.unlink(missing_ok=True)
        if existing != "update":
            create_image(path, image_format, size)
        try:
            self._server = QemuNbd(path, [f"--format={image_format}", "--discard=unmap"], (ALLOCATION,))
            self._disk = self._open(size)
        except BaseException:
            if existing != "update":
                path.unlink(missing_ok=True)
            raise
        self.size_bytes = size
        self.is_zeroed = existing != "update"

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data`` at ``offset``. Thread-safe for ranges that do not overlap."""
        self._disk.write(offset, data)

    def zero(self, extent: Extent) -> None:
        """Make the range read as zeroes, without storing them where the format can say so."""
        self._disk.zero(extent)

    def flush(self) -> None:
        """Return when all that was written survives a power cut."""
        self._disk.flush()

    def close(self) -> None:
        """Close the image in order and end its server; safe to call twice."""
        self._disk.close()
        self._server.close()

    def _open(self, size: int) -> NbdSink:
        try:
            return NbdSink(Connections(self._server.first, self._server.connect), size)
        except BaseException:
            self._server.close()
            raise


def _claim(path: Path) -> None:
    """Refuse an image that somebody uses before anything happens to it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with translated(f"open {path}"):
        try:
            claim_for_writing(fd, str(path))
        finally:
            os.close(fd)
