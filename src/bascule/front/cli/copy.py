"""``bascule copy``: disks become a recovery point.

The first copy of a disk sends what is not zero. A later one reads the disk again,
compares digests with the newest point, and sends what differs; unless the source
itself knows what changed, by a dirty bitmap or a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.ports.disks import DiskSource

from .printing.documents import point_document
from .printing.screen import Screen
from .stopping import conducted, going_on
from .tools import Tools
from .transfers.changed import read_extents
from .words.options import Json, KeyFilePath, Limit, PassphrasePath, Store, Workers, tools_of
from .words.quantities import bytes_text, seconds_text
from .words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.pipeline.copy import Capture, Copied
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.resync import Resynced
    from bascule.data.store import GroupWriter, MachineSpec, Vault


@dataclass(frozen=True, slots=True)
class Order:
    """What to copy, and under which names."""

    sources: Sequence[str]
    disks: Sequence[str]
    changes: Sequence[Path]
    group: str
    machine: str
    name: str

    @classmethod
    def of(
        cls,
        sources: Sequence[str],
        disks: Sequence[str],
        changes: Sequence[Path],
        names: tuple[str, str, str],
    ) -> Order:
        """Fill in what was left out, and refuse what does not fit together."""
        for option, given in (("--disk", disks), ("--changed", changes)):
            if given and len(given) != len(sources):
                raise Refused(
                    f"{len(sources)} sources and {len(given)} times {option}",
                    cure=f"give {option} once for each source, in the same order, or leave it out",
                )
        if len(set(disks)) != len(disks):
            raise Refused("two disks have the same id", cure="give each --disk another id")
        group = names[0] or _group_of(sources[0])
        machine = names[1] or group
        disks = disks or [f"disk{i}" for i in range(len(sources))]
        return cls(sources, disks, changes, group, machine, names[2] or machine)


Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE", help="The disks of one machine, in order.", show_default=False),
]
Group = Annotated[
    str, typer.Option("--group", metavar="GROUP", help="The replication group. [the first source's name]")
]
Machine = Annotated[str, typer.Option("--machine", metavar="ID", help="The machine's id. [the group]")]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="What to call the machine. [its id]")]
DiskIds = Annotated[
    list[str] | None,
    typer.Option("--disk", metavar="ID", help="A disk's id, once for each source. [disk0, disk1, …]"),
]
Changes = Annotated[
    list[Path] | None,
    typer.Option(
        "--changed",
        metavar="FILE",
        help="Trust that nothing changed but these lines of OFFSET LENGTH; once for each source.",
    ),
]


def copy(
    context: typer.Context,
    *,
    sources: Sources,
    store: Store,
    group: Group = "",
    machine: Machine = "",
    name: Name = "",
    disk: DiskIds = None,
    changed: Changes = None,
    workers: Workers = 3,
    limit: Limit = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Copy the disks of a machine into one recovery point.

    A SOURCE is a path (raw, .qcow2, .vhdx, .vmdk, .vhd, a block device) or an NBD address: nbd://HOST/EXPORT,
    nbd+unix:///EXPORT?socket=PATH. What a name does not tell, ?format=FORMAT does. Nobody may write to it
    meanwhile.

    The first copy sends all that is not zero. Later ones into the same group compare with the newest point
    and send what differs; or only what a dirty bitmap marks, if the source ends in ?bitmap=NAME: then the
    bitmap must have been started when the newest point was captured.

    An interrupted copy leaves no point. Start it again: what is durable is not sent twice.

    \b
    Examples:
      bascule copy /vm/web.qcow2 /srv/points
      bascule copy root.raw data.raw s3://backup/points --group shop --machine db1 --limit 50M
      bascule copy 'nbd+unix:///disk0?socket=/run/vm.sock&bitmap=since12' /srv/points --group web
    """
    from bascule.data.store import Tuning

    tools, screen = tools_of(context), Screen(is_json=is_json)
    order = Order.of(sources, disk or [], changed or [], (group, machine, name))
    begun = tools.clock.monotonic()
    with ExitStack() as open_things:
        capture = open_things.enter_context(_captured(tools, order))
        vault, _ = open_things.enter_context(opened(tools, store, KeyOptions(key_file, passphrase_file)))
        conduct = open_things.enter_context(conducted(tools.clock, screen, "copy", workers, limit))
        tuning = Tuning.for_lanes(workers)
        writer = open_things.enter_context(vault.begin(order.group, writer=tools.who, tuning=tuning))
        _refuse_strangers(vault, capture.machines[0], order.group)
        try:
            copied, resynced = _send(vault, writer, capture, conduct)
        except Unavailable as error:
            raise going_on(error) from error.__cause__
    seconds = tools.clock.monotonic() - begun
    screen.event("copied", _document(copied, resynced, seconds), [_sentence(copied, seconds)])


@contextmanager
def _captured(tools: Tools, order: Order) -> Iterator[Capture]:
    """Open the sources, all of them before anything is written anywhere."""
    from bascule.data.pipeline.changed import ChangedSource
    from bascule.data.pipeline.copy import Capture
    from bascule.data.store import DiskKey, DiskSpec, MachineSpec

    with ExitStack() as open_sources:
        sources: dict[DiskKey, DiskSource] = {}
        for i, words in enumerate(order.sources):
            source = tools.open_source(words)
            open_sources.callback(source.close)
            if order.changes:
                source = ChangedSource(source, read_extents(order.changes[i], source.size_bytes))
            sources[DiskKey(order.machine, order.disks[i])] = source
        disks = tuple(DiskSpec(key.disk, source.size_bytes) for key, source in sources.items())
        machine = MachineSpec(order.machine, order.name, disks)
        yield Capture([machine], sources, tools.clock.now())


def _send(
    vault: Vault, writer: GroupWriter, capture: Capture, conduct: Conduct
) -> tuple[Copied, Resynced | None]:
    from bascule.data.pipeline.copy import copy
    from bascule.data.pipeline.resync import resync

    is_compared = any(
        writer.disk_size(key) is not None and not source.is_delta for key, source in capture.sources.items()
    )
    if not is_compared:
        return copy(writer, capture, conduct), None
    resynced = resync(vault, writer, capture, conduct)
    return resynced.copied, resynced


def _refuse_strangers(vault: Vault, machine: MachineSpec, group: str) -> None:
    """A point is all machines of its group: one that leaves some out would look complete."""
    try:
        with vault.peek(group) as newest:
            others = [other.id for other in newest.info.machines if other.id != machine.id]
    except Missing:
        return
    if others:
        raise Refused(
            f"group {group} holds machine {', '.join(others)}, not {machine.id}",
            cure=f"name the machine as before (--machine {others[0]}), or choose another --group",
        )


def _group_of(source: str) -> str:
    """Name a group after a disk's file or export."""
    path, _, query = source.partition("?")
    stem = Path(path).stem or Path(query).stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.") or "disk"


def _document(copied: Copied, resynced: Resynced | None, seconds: float) -> dict[str, object]:
    return {
        "point": point_document(copied.point),
        "read_bytes": copied.read_bytes,
        "compared_bytes": resynced.compared.compared_bytes if resynced else 0,
        "sent_bytes": copied.sent_bytes,
        "resumed_bytes": copied.adopted_bytes,
        "erased_bytes": copied.erased_bytes,
        "stored_bytes": copied.stored_bytes,
        "seconds": round(seconds, 3),
    }


def _sentence(copied: Copied, seconds: float) -> str:
    resumed = f", {bytes_text(copied.adopted_bytes)} were there already" if copied.adopted_bytes else ""
    return (
        f"Point {copied.point.group}/{copied.point.number}: read {bytes_text(copied.read_bytes)}, sent"
        f" {bytes_text(copied.sent_bytes)}{resumed}, stored {bytes_text(copied.stored_bytes)} in"
        f" {seconds_text(seconds)}."
    )
