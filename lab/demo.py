"""``make demo``: the main job from end to end, on this machine, in under a minute.

Every line with a ``$`` is a command that was run just so. Everything happens in one
temporary folder, which is removed however it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client

from . import children, filesystems
from .filesystems import ToolFailed

MIB = 1 << 20
DISK_MIB = 1024
# A tenth of the disk is photos, and a tenth of those will change: one per cent of the disk.
PHOTOS, CHANGED_PHOTOS = 100, 10


class Failed(Exception):
    """Something did not turn out as the demo says it does."""


@dataclass
class Figures:
    """What was measured on the way."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, seconds: float, *, moved: int = 0, stored: int = 0) -> None:
        """Add a line of the closing table: bytes of the disk, and what they take in the store."""
        self.rows.append((what, _mib(moved), _mib(stored), f"{seconds:.2f}"))

    def show(self) -> None:
        """Print the table."""
        head = ("MiB", "of the disk", "in the store", "seconds")
        widths = [max(len(row[i]) for row in (head, *self.rows)) for i in range(len(head))]
        for what, *figures in (head, *self.rows):
            cells = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
            print("   " + "   ".join([what.ljust(widths[0]), *cells]))


@dataclass(frozen=True)
class Sizes:
    """How large the disk is, and what is on it: compressible files of a system, and photos that are not."""

    disk: int

    @property
    def system(self) -> int:
        return self.disk // 4

    @property
    def photos(self) -> int:
        return self.disk // 10

    @property
    def photo(self) -> int:
        return self.photos // PHOTOS

    @property
    def room(self) -> int:
        """What the temporary folder needs: the disk, a copy from the server, a restored one, the store."""
        return 3 * self.disk


class Stage:
    """The folder where it happens, and the command line at work in it."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self.figures = Figures()
        self.settings = os.environ | {"BASCULE_KEY_FILE": "main.key"}

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words: str) -> str:
        """Show a command and run it; return what it printed."""
        print(f"   $ bascule {' '.join(words)}", flush=True)
        with self._started(words) as process:
            out, _ = process.communicate()
        if process.returncode:
            raise Failed(f"it ended with exit code {process.returncode}")
        return out

    def measured(self, *words: str) -> tuple[dict[str, Any], float]:
        """Run a command with ``--json``; return its last event and how long it took."""
        begun = time.monotonic()
        out = self.run(*words, "--json")
        event: dict[str, Any] = json.loads(out.splitlines()[-1])
        return event, time.monotonic() - begun

    @contextmanager
    def serving(self, *words: str) -> Iterator[tuple[str, float]]:
        """Serve a point; yield its first disk's address and when the command was typed."""
        print(f"   $ bascule {' '.join(words)} &", flush=True)
        typed = time.monotonic()
        with self._started([*words, "--json"]) as server:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise Failed("the point server ended at once")
            yield json.loads(line)["disks"][0]["uri"], typed
        if server.returncode:
            raise Failed(f"the point server ended with exit code {server.returncode}")

    def _started(self, words: Sequence[str]) -> AbstractContextManager[subprocess.Popen[str]]:
        command = [sys.executable, "-c", "from bascule.apps.command_line import main; main()", *words]
        return children.started(command, cwd=self.folder, env=self.settings)


def main(disk_mib: int = DISK_MIB) -> int:
    """Tell the story of a disk of so many MiB; 0 if every check held."""
    children.INTERRUPTS.install()
    begun, sizes = time.monotonic(), Sizes(disk_mib * MIB)
    try:
        _refuse_without_room(sizes.room)
        with tempfile.TemporaryDirectory(prefix="bascule-demo-") as folder:
            _tell(Stage(Path(folder), sizes))
    except KeyboardInterrupt:
        print("\nStopped. Everything it made is removed.", file=sys.stderr)
        return 130
    except (Failed, ToolFailed, OSError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll checks held, in {time.monotonic() - begun:.0f} seconds. Everything it made is removed.")
    return 0


def _tell(stage: Stage) -> None:
    print(
        "Bascule keeps recovery points of machines, and gives them back: any point, at once, byte for byte."
    )
    machine_at_work(stage)
    first = first_copy(stage)
    second_copy(stage)
    open_at_once(stage)
    check_the_store(stage)
    restore(stage, first)
    print("\n-- Figures\n")
    stage.figures.show()


def machine_at_work(stage: Stage) -> None:
    """Make the disk of a machine."""
    sizes = stage.sizes
    _step("A machine's disk, with programs and photos on an ext4 file system")
    content = stage.path("content")
    (content / "photos").mkdir(parents=True)
    (content / "system").mkdir()
    for i, path in enumerate(filesystems.system_files(sizes.system)):
        shutil.copyfile(path, content / "system" / f"{i:05d}-{path.name}")
    for i in range(PHOTOS):
        (content / "photos" / f"{i:03d}.jpg").write_bytes(os.urandom(stage.sizes.photo))
    filesystems.make(stage.path("disk.raw"), sizes.disk, content)
    shutil.rmtree(content)
    print(f"   disk.raw: {_mib(sizes.disk)} MiB, of which {_mib(_used(stage.path('disk.raw')))} MiB are used")


def first_copy(stage: Stage) -> str:
    """Copy all of it; return the digest of the disk as it was."""
    _step("A store (here a folder; a bucket of S3 or Azure works alike) that only your key opens")
    stage.run("key", "create", "main.key")
    stage.run("store", "init", "store")
    _step("The first recovery point: everything, compressed, hashed and encrypted")
    copied, seconds = stage.measured("copy", "disk.raw", "store", "--group", "web")
    _tell_copied(stage, "first copy", copied, seconds)
    stored = sum(path.stat().st_size for path in stage.path("store").rglob("*") if path.is_file())
    print(f"   The store has {_mib(stored)} MiB. Without main.key nobody reads a byte of it.")
    return _digest(stage.path("disk.raw"))


def second_copy(stage: Stage) -> None:
    """Change one per cent and copy again."""
    _step("The machine works on: 1 % of the disk changes. The second point sends only that")
    photo = stage.path("new.jpg")
    photo.write_bytes(os.urandom(stage.sizes.photo))
    every = PHOTOS // CHANGED_PHOTOS
    filesystems.replace(
        stage.path("disk.raw"), {f"photos/{i * every:03d}.jpg": photo for i in range(CHANGED_PHOTOS)}
    )
    copied, seconds = stage.measured("copy", "disk.raw", "store", "--group", "web")
    _tell_copied(stage, "second copy", copied, seconds)
    _check("little was sent", copied["sent_bytes"] < stage.sizes.disk // 40)
    print("   Both points are there, and each is whole:")
    print("     " + stage.run("store", "ls", "store", "web").rstrip().replace("\n", "\n     "))


def open_at_once(stage: Stage) -> None:
    """Serve the newest point and look into it."""
    _step("Disaster. The newest point is a disk at once: served over NBD, before anything is restored")
    with stage.serving("serve-point", "store", "web/latest") as (uri, typed):
        magic = _first_sector(uri)
        seconds = time.monotonic() - typed
        stage.figures.add("open a point, from Enter to its first byte", seconds)
        _check(f"the file system answers {seconds:.2f} s after Enter", magic == b"\x53\xef")
        begun = time.monotonic()
        filesystems.tool("nbdcopy", uri, stage.path("served.raw"))
        seconds = time.monotonic() - begun
        stage.figures.add("read all of it from there", seconds, moved=_used(stage.path("served.raw")))
    filesystems.check(stage.path("served.raw"))
    _check("e2fsck finds its file system sound", True)
    found = filesystems.read(stage.path("served.raw"), "photos/000.jpg", stage.path("found.jpg"))
    _check("a photo that changed is there as it was left", found == stage.path("new.jpg").read_bytes())


def check_the_store(stage: Stage) -> None:
    """Verify every byte."""
    _step("Is everything in the store sound? Every byte is read and checked")
    verified, seconds = stage.measured("store", "verify", "store", "--full")
    stage.figures.add("verify both points", seconds, stored=verified["read_bytes"])
    _check(f"{verified['points']} points in {verified['objects']} objects are well", not verified["findings"])


def restore(stage: Stage, first: str) -> None:
    """Restore both points and compare them with the disks they were taken of."""
    _step("Back for good: restore, and compare byte for byte")
    restored, seconds = stage.measured("restore", "store", "web/latest", "restored.raw")
    (disk,) = restored["disks"]
    stage.figures.add("restore", seconds, moved=disk["written_bytes"], stored=disk["fetched_bytes"])
    _check(
        "the newest point is the disk of now",
        _digest(stage.path("restored.raw")) == _digest(stage.path("disk.raw")),
    )
    stage.run("restore", "store", "web/1", "restored.raw", "--force")
    _check("the first point is the disk as it was then", _digest(stage.path("restored.raw")) == first)


def _tell_copied(stage: Stage, what: str, copied: dict[str, Any], seconds: float) -> None:
    read, sent, stored = (copied[name] for name in ("read_bytes", "sent_bytes", "stored_bytes"))
    stage.figures.add(what, seconds, moved=sent, stored=stored)
    print(f"   read {_mib(read)} MiB, sent {_mib(sent)}, stored {_mib(stored)}, in {seconds:.1f} s")


def _first_sector(uri: str) -> bytes:
    """Read the magic number of ext4: two bytes in the superblock at 1024."""
    with closing(Client.connect(Address.parse(uri))) as client:
        sector = bytearray(4096)
        client.read_into(0, memoryview(sector))
    return bytes(sector[1024 + 56 : 1024 + 58])


def _step(text: str) -> None:
    print(f"\n-- {text}", flush=True)


def _check(what: str, is_so: bool) -> None:
    if not is_so:
        raise Failed(f"this does not hold: {what}")
    print(f"   ok: {what}", flush=True)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mib(count: int) -> str:
    if not count:
        return ""
    return f"{count / MIB:,.0f}" if count >= 10 * MIB else f"{count / MIB:.1f}"


def _used(image: Path) -> int:
    return image.stat().st_blocks * 512


def _refuse_without_room(needed: int) -> None:
    folder = tempfile.gettempdir()
    if (free := shutil.disk_usage(folder).free) < needed:
        raise Failed(
            f"{folder} has {_mib(free)} MiB free, and it needs {_mib(needed)}: set TMPDIR to another folder"
        )


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
