"""The disk images every figure is measured on; made once, checked by digest before every use.

The mixed image is 40 % zero (half of it holes, half written zeroes), 30 % files
of this system end to end, 30 % random bytes, in runs of 64 KiB to 32 MiB whose
order comes from a seed. The changed image differs in 1 % of its 64 KiB blocks,
chosen at random: some become zero, the rest files or random bytes.
"""

from __future__ import annotations

import json
import mmap
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from blake3 import blake3

from bascule.blocks.extents import Extent, merge, split

from .process import Failed, say

MIB: Final = 1 << 20
GIB: Final = 1 << 30
BLOCK: Final = 65536
LAYOUT: Final = 1  # Raise it when the bytes of an image would come out differently.
_SEED: Final = 20_240


@dataclass(frozen=True, slots=True)
class Image:
    """A raw disk, the same disk with 1 % changed, and where the change is."""

    before: Path
    after: Path
    size_bytes: int
    changed: tuple[Extent, ...]


def mixed(cache: Path, size_bytes: int) -> Image:
    """Return the mixed image of this size, making it if it is not there or not what it was."""
    room = cache / f"mixed-{size_bytes // MIB}-v{LAYOUT}"
    image = Image(room / "before.img", room / "after.img", size_bytes, tuple(_changed(size_bytes)))
    return _kept(image, {"hole": 20, "zero": 20, "file": 30, "random": 30})


def dense(cache: Path, size_bytes: int) -> Path:
    """Return an image without holes or zeroes, for reads that no hole flatters."""
    disk = cache / f"dense-{size_bytes // MIB}-v{LAYOUT}" / "disk.img"
    return _kept(Image(disk, disk, size_bytes, ()), {"file": 50, "random": 50}).before


def _kept(image: Image, shares: dict[str, int]) -> Image:
    note = image.before.with_name("digests.json")
    note.parent.mkdir(parents=True, exist_ok=True)
    if not note.exists() or json.loads(note.read_text()) != _digests(image):
        say(f"making {note.parent.name}")
        note.unlink(missing_ok=True)
        _make(image, shares)
        note.write_text(json.dumps(_digests(image)))
    return image


def _make(image: Image, shares: dict[str, int]) -> None:
    painter = _Painter(random.Random(_SEED))
    with ExitStack() as files:
        outs = [
            files.enter_context(path.open("wb", buffering=0))
            for path in dict.fromkeys((image.before, image.after))
        ]
        for out in outs:
            out.truncate(image.size_bytes)
        for extent, kind in _layout(image.size_bytes, shares):
            painter.paint(extent, kind, *outs)
        for block in split(image.changed, BLOCK):
            painter.paint(block, painter.change(), outs[-1])
        for out in outs:
            os.fsync(out.fileno())


class _Painter:
    """Fills ranges of files with bytes of a kind."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._files = _SystemFiles()

    def change(self) -> str:
        """Choose what a changed block becomes; one in eight zero: a block that must leave the map."""
        return "zero" if self._chance.random() < 0.125 else self._chance.choice(("file", "random"))

    def paint(self, extent: Extent, kind: str, *outs: FileIO) -> None:
        if kind == "hole":
            return
        for piece in split([extent], MIB):
            data = self._data(kind, piece.length)
            for out in outs:
                os.pwrite(out.fileno(), data, piece.offset)

    def _data(self, kind: str, length: int) -> bytes:
        if kind == "zero":
            return bytes(length)
        return self._chance.randbytes(length) if kind == "random" else self._files.take(length)


def _layout(size: int, shares: dict[str, int]) -> list[tuple[Extent, str]]:
    """Cut each kind's share into runs, shuffle the runs, and lay them end to end."""
    chance = random.Random(_SEED)
    runs: list[tuple[int, str]] = []
    left = size
    for number, (kind, share) in enumerate(shares.items(), 1):
        remains = left if number == len(shares) else size * share // 100 // BLOCK * BLOCK
        left -= remains
        while remains:
            length = min(remains, BLOCK * int(2 ** chance.uniform(0, 9)))
            runs.append((length, kind))
            remains -= length
    chance.shuffle(runs)
    placed, at = [], 0
    for length, kind in runs:
        placed.append((Extent(at, length), kind))
        at += length
    return placed


def _changed(size: int) -> Iterator[Extent]:
    count = size // BLOCK
    chosen = random.Random(_SEED + 1).sample(range(count), max(1, count // 100))
    return merge(Extent(number * BLOCK, BLOCK) for number in sorted(chosen))


class _SystemFiles:
    """The regular files under /usr in order of path, end to end, again and again."""

    def __init__(self) -> None:
        self._contents = self._read()
        self._rest = b""

    def take(self, length: int) -> bytes:
        parts, missing = [self._rest[:length]], length - len(self._rest)
        self._rest = self._rest[length:]
        while missing > 0:
            content = next(self._contents)
            parts.append(content[:missing])
            self._rest = content[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _read(self) -> Iterator[bytes]:
        while True:
            seen = 0
            for folder in ("/usr/bin", "/usr/lib", "/usr/share"):
                for path in _files(Path(folder)):
                    seen += 1
                    with path.open("rb", buffering=0) as file:
                        while piece := file.read(MIB):
                            yield piece
            if not seen:
                raise Failed("there are no readable files under /usr to make the image from")


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.is_file() and not path.is_symlink() and path.stat().st_size and os.access(path, os.R_OK):
                yield path


def _digests(image: Image) -> dict[str, str]:
    paths = dict.fromkeys((image.before, image.after))
    return {path.name: digest(path) for path in paths if path.exists()}


def digest(path: Path) -> str:
    """Return the BLAKE3 of a file, which also brings it into the page cache."""
    hasher = blake3()
    for chunk in chunks(path):
        hasher.update(chunk)
    return hasher.hexdigest()


def chunks(path: Path) -> Iterator[memoryview]:
    """Yield a file in pieces of 1 MiB that live in one buffer."""
    buffer = memoryview(mmap.mmap(-1, MIB))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(buffer):
            yield buffer[:length]


def warm(path: Path) -> None:
    """Bring a file, or all files under a folder, into the page cache."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            for _ in chunks(file):
                pass


def evict(path: Path) -> None:
    """Drop a file, or all files under a folder, from the page cache; they must be synced."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def must_equal(restored: Path, original: Path, who: str) -> None:
    """Compare byte for byte; a fast wrong answer fails the run."""
    if restored.stat().st_size != original.stat().st_size:
        raise Failed(f"{who} restored {restored.stat().st_size} bytes of {original.stat().st_size}")
    with restored.open("rb", buffering=0) as file:
        for number, theirs in enumerate(chunks(original)):
            if file.read(len(theirs)) != bytes(theirs):
                raise Failed(f"{who} restored wrong bytes between {number} and {number + 1} MiB")
