"""qcow2, VHDX, VMDK and VHD images, through a qemu-nbd of our own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bascule.blocks.extents import Extent
from bascule.model.errors import Missing, Refused
from bascule.model.machines import DiskPlace
from bascule.ports.disks import DiskSource

from .claims import claim_for_writing
from .connections import Connections
from .faults import translated
from .formats import RAW, said_size
from .holes import vhdx
from .nbd import ALLOCATION, BITMAPS, LAYERS, NbdSink, NbdSource
from .qemu import QemuNbd, add_bitmap, commit_image, create_image, describe
from .raw import Existing, RawSource, make_name_durable

_SECTOR: Final = 512


class ImageSource:
    """An image that nobody writes; with ``bitmap`` only what that persistent bitmap of a qcow2 marks.

    Of one that ``is_layer`` only what was written to it is offered, zeroes too, and nothing of what is below.
    """

    is_near = False

    def __init__(self, path: Path, image_format: str, *, bitmap: str = "", is_layer: bool = False) -> None:
        context = BITMAPS + bitmap if bitmap else LAYERS if is_layer else ALLOCATION
        options = ["--read-only", "--allocation-depth" if is_layer else f"--format={image_format}"]
        options += [f"--bitmap={bitmap}"] if bitmap else []
        self._server = QemuNbd(path, options, (context,), alone=image_format if is_layer else "")
        if context not in self._server.first.contexts:
            self._server.close()
            raise Missing(f"{path} has no dirty bitmap {bitmap!r}", cure="list them with qemu-img info")
        self._disk = NbdSource(Connections(self._server.first, self._server.connect), context)
        self.size_bytes = self._disk.size_bytes
        self.is_delta = self._disk.is_delta
        self._tables = path if image_format == "vhdx" else None

    def extents(self) -> Iterator[Extent]:
        """Yield what is allocated and not known to be zero, or what is dirty."""
        return self._disk.extents() if self._tables is None else self._blocks(self._tables)

    def _blocks(self, path: Path) -> Iterator[Extent]:
        with translated(f"look for holes in {path}"), path.open("rb", buffering=0) as image:
            found = vhdx.layout(image.fileno(), self.size_bytes)
            if found is None:
                yield from self._disk.extents()
            else:
                yield from vhdx.data_extents(image.fileno(), found)

    def expect(self, extents: Sequence[Extent]) -> None:
        """See DiskSource; there is nothing to begin."""

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


class ImageReplica(ImageSink):
    """An image that is there, read and written. ``is_zeroed`` is never believed of it."""

    is_delta = is_near = False

    def __init__(self, path: Path, image_format: str, size: int) -> None:
        super().__init__(path, image_format, size, existing="update")
        self._source = NbdSource(Connections(self._server.connect(), self._server.connect))

    def extents(self) -> Iterator[Extent]:
        """Yield what is allocated and not known to be zero."""
        return self._source.extents()

    def expect(self, extents: Sequence[Extent]) -> None:
        """See DiskSource; there is nothing to begin."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` completely, or raise."""
        self._source.read_into(offset, buffer)

    def read_many(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Fill the buffer of each offset, several at a time."""
        self._source.read_many(pieces)

    def close(self) -> None:
        """Close the image in order and end its server; safe to call twice."""
        self._source.close()
        super().close()


class QcowImages:
    """See ``ports.images.Images``: qcow2 images, which can lie on others and keep what they record."""

    def open(self, place: DiskPlace) -> DiskSource:
        """See Images."""
        if place.format == RAW:
            return RawSource(Path(place.words))
        return ImageSource(Path(place.words), place.format)

    def is_there(self, place: DiskPlace) -> bool:
        """See Images."""
        return Path(place.words).exists()

    def size_bytes(self, place: DiskPlace) -> int:
        """See Images."""
        return 0 if place.is_served else said_size(Path(place.words), place.format)

    def open_beside(self, place: DiskPlace, size_bytes: int, on: DiskPlace | None) -> ImageReplica:
        """See Images."""
        path = Path(place.words)
        if not self.is_there(place):
            aside = path.with_suffix(".new")  # a creation that was cut short is never taken for an image
            with translated(f"create {path}"):
                aside.unlink(missing_ok=True)
            create_image(aside, place.format, size_bytes, None if on is None else (on.words, on.format))
            with translated(f"create {path}"):
                aside.rename(path)
                make_name_durable(path)
        return ImageReplica(path, place.format, size_bytes)

    def record(self, place: DiskPlace, name: str) -> None:
        """See Images."""
        described = describe(Path(place.words))
        bitmaps = described.get("format-specific", {}).get("data", {}).get("bitmaps", ())
        if name not in {bitmap["name"] for bitmap in bitmaps}:
            add_bitmap(Path(place.words), name)

    def melt(self, place: DiskPlace) -> DiskPlace | None:
        """See Images."""
        if place.is_served or place.format != "qcow2":
            return None
        found = describe(Path(place.words))
        below = found.get("full-backing-filename", "")
        if not below:
            return None
        commit_image(Path(place.words))
        return DiskPlace(place.id, below, found["backing-filename-format"])


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
