"""``bascule restore``: a recovery point becomes disks again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bascule.model.errors import Cancelled, Refused, Unavailable

from .printing.documents import point_document
from .printing.screen import Screen
from .stopping import conducted, going_on
from .tools import Existing, Tools
from .transfers.resuming import Marks
from .words.naming import PointName, chosen_disks
from .words.options import (
    Json,
    KeyFilePath,
    Limit,
    NoPin,
    OneMachine,
    PassphrasePath,
    Point,
    SomeDisks,
    Store,
    Workers,
    tools_of,
)
from .words.quantities import bytes_text, seconds_text
from .words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.restore import Restored
    from bascule.data.store import DiskKey, DiskReader, PointReader

_SUFFIXES = {"": ".raw", "raw": ".raw", "qcow2": ".qcow2", "vhdx": ".vhdx", "vmdk": ".vmdk", "vpc": ".vhd"}


class Target(NamedTuple):
    """Where one disk goes: words for the driver, and the file if it is one."""

    disk: DiskKey
    words: str
    file: Path | None


Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET", help="One for each disk, or a folder for all of them.", show_default=False
    ),
]
Format = Annotated[
    str,
    typer.Option("--format", metavar="FORMAT", help="raw, qcow2, vhdx, vmdk or vpc. [by the target's name]"),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what the targets hold. Devices and exports need it.")
]


def restore(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    targets: Targets,
    machine: OneMachine = "",
    disk: SomeDisks = None,
    format: Format = "",
    force: Force = False,
    no_pin: NoPin = False,
    workers: Workers = 4,
    limit: Limit = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Write the disks of a point to files, devices or NBD exports.

    Files are sparse: zeroes take no room. A target's name says its format (.raw, .qcow2, .vhdx, .vmdk, .vhd),
    or --format does. Nothing that exists is overwritten without --force.

    An interrupted restore leaves TARGET.restoring beside each file. Start it again with the same words, and
    it goes on where it was.

    \b
    Examples:
      bascule restore /srv/points web/latest /vm/web-again.qcow2
      bascule restore /srv/points shop/12 restored/ --format qcow2
      bascule restore s3://backup/points web /dev/disk/by-id/scsi-36001 --force
    """
    tools, screen, name = tools_of(context), Screen(is_json=is_json), PointName.parse(point)
    if format not in _SUFFIXES:
        raise Refused(f"{format!r} is no format of disk images", cure="use raw, qcow2, vhdx, vmdk or vpc")
    begun = tools.clock.monotonic()
    with ExitStack() as open_things:
        vault, _ = open_things.enter_context(opened(tools, store, KeyOptions(key_file, passphrase_file)))
        open_things.enter_context(name.sought())
        purpose = f"restore by {tools.who}"
        reader = open_things.enter_context(
            vault.peek(*name) if no_pin else vault.point(*name, purpose=purpose)
        )
        wanted = [key for key, _ in chosen_disks(reader.info, machine, disk or [])]
        filled = _Filling(tools, vault.id, reader, force)
        for target in _targets(wanted, targets, format):
            with conducted(tools.clock, screen, f"restore {target.disk.disk}", workers, limit) as conduct:
                filled.fill(target, conduct)
        filled.finish()
    _tell(screen, reader, filled.done, tools.clock.monotonic() - begun)


class _Filling:
    """Fills targets one after the other; marks go when all are whole, so that a second try finds them all."""

    def __init__(self, tools: Tools, vault: str, reader: PointReader, force: bool) -> None:
        self._tools = tools
        self._subject = f"vault {vault} point {reader.info.group}/{reader.info.number}"
        self._reader = reader
        self._force = force
        self._marks: list[Marks] = []
        self.done: list[tuple[Target, Restored]] = []

    def fill(self, target: Target, conduct: Conduct) -> None:
        """Restore one disk, going on with what an earlier try left."""
        disk = self._reader.disk(target.disk)
        if target.file is None:
            self._pour(target, disk, conduct, None)
            return
        subject = f"{self._subject} disk {target.disk.machine}/{target.disk.disk}"
        marks = Marks(target.file, subject, replace=self._force)
        self._marks.append(marks)
        try:
            self._pour(target, disk, conduct, marks)
        finally:
            marks.forget()

    def _pour(self, target: Target, disk: DiskReader, conduct: Conduct, marks: Marks | None) -> None:
        from bascule.data.pipeline.journal import Journal
        from bascule.data.pipeline.restore import restore

        journal = (
            Journal(f"{target.disk.machine}/{target.disk.disk}", marks.keep, marks.saved) if marks else None
        )
        existing = self._existing(marks)
        with closing(self._tools.open_sink(target.words, disk.size_bytes, existing=existing)) as sink:
            try:
                self.done.append((target, restore(disk, sink, conduct, journal)))
            except (Cancelled, Unavailable) as error:
                if journal is None:
                    raise
                journal.keep(sink.flush)
                raise going_on(error) from error.__cause__

    def _existing(self, marks: Marks | None) -> Existing:
        if marks is not None and marks.is_begun:
            return "update"
        return "replace" if self._force else "refuse"

    def finish(self) -> None:
        """Say that every target is whole."""
        for marks in self._marks:
            marks.remove()


def _targets(disks: Sequence[DiskKey], words: Sequence[str], format: str) -> list[Target]:
    """Pair disks with targets; a folder takes all of them under their ids."""
    if len(words) == 1 and (Path(words[0]).is_dir() or words[0].endswith("/")):
        folder = Path(words[0])
        folder.mkdir(parents=True, exist_ok=True)
        names = [key.disk if len({k.disk for k in disks}) == len(disks) else "-".join(key) for key in disks]
        words = [str(folder / (name + _SUFFIXES[format])) for name in names]
    if len(words) != len(disks):
        has = ", ".join(f"{key.machine}/{key.disk}" for key in disks)
        raise Refused(
            f"{len(words)} targets for {len(disks)} disks ({has})",
            cure="name a target for each, or a folder for all, or choose with --machine and --disk",
        )
    return [_target(key, text, format) for key, text in zip(disks, words, strict=True)]


def _target(disk: DiskKey, words: str, format: str) -> Target:
    if words.startswith(("nbd:", "nbds:", "nbd+", "nbds+")):
        return Target(disk, words, None)
    path = Path(words.partition("?")[0])
    if format and "?" not in words:
        words = f"{words}?format={format}"
    return Target(disk, words, None if path.is_block_device() else path)


def _tell(screen: Screen, reader: PointReader, done: list[tuple[Target, Restored]], seconds: float) -> None:
    document = {
        "point": point_document(reader.info),
        "disks": [
            {
                "machine": target.disk.machine,
                "disk": target.disk.disk,
                "target": target.words,
                "written_bytes": restored.written_bytes,
                "resumed_bytes": restored.settled_bytes,
                "fetched_bytes": restored.fetched_bytes,
            }
            for target, restored in done
        ],
        "seconds": round(seconds, 3),
    }
    lines = [
        f"{'/'.join(target.disk)} -> {target.words}: wrote {bytes_text(restored.written_bytes)}"
        + (f", {bytes_text(restored.settled_bytes)} were there already" if restored.settled_bytes else "")
        for target, restored in done
    ]
    name = f"{reader.info.group}/{reader.info.number}"
    screen.event("restored", document, [*lines, f"Point {name} is restored, in {seconds_text(seconds)}."])
