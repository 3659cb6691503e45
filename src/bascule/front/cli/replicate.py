"""``bascule replicate``: running machines become points, for as long as they live."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.model.errors import Cancelled, Refused, Unavailable

from .printing.documents import point_document
from .printing.screen import Screen
from .stopping import on_stop, throttle_of, wait_for
from .tools import Tools
from .words.options import Json, KeyFilePath, Limit, PassphrasePath, Store, tools_of
from .words.quantities import bytes_text, seconds_from, seconds_text
from .words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.flow.crew import Cancel
    from bascule.data.pipeline.flow.throttle import Throttle
    from bascule.replication.members import Member
    from bascule.replication.replicator import Cycled

Qmp = Annotated[
    list[Path],
    typer.Argument(
        metavar="QMP...",
        help="The machine's QMP socket: -qmp unix:PATH,server=on,wait=off. Several make one group.",
        show_default=False,
    ),
]
Group = Annotated[
    str,
    typer.Option("--group", metavar="GROUP", help="The replication group. [the socket's name, if it is one]"),
]
Every = Annotated[str, typer.Option("--every", metavar="TIME", help="How often a point is made: 1s, 5m.")]
Points = Annotated[int, typer.Option("--points", metavar="N", min=0, help="End after so many; 0: never.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Room for what the machine overwrites while a point is made. [beside the socket]",
        show_default=False,
    ),
]


def replicate(
    context: typer.Context,
    *,
    qmp: Qmp,
    store: Store,
    group: Group = "",
    every: Every = "5s",
    points: Points = 0,
    folder: Folder = None,
    limit: Limit = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Replicate running QEMU machines: a point at once, then one after another of what changed.

    Nothing is installed in a machine. All its disks are frozen at one instant for each point, and it
    writes on meanwhile. QEMU itself records what changes: whoever starts this again, after a kill or a
    reboot of the machine, sends what changed since the newest point; where that is not known any more,
    disks are compared with the store and what differs is sent.

    Several machines are one group: a point is all of them at one instant. One that is away stays in it
    what it was, and the point says that it is not complete.

    A store or a machine that does not answer is tried again after 1, 2, 4, 8 and 10 minutes, then every 30.

    \b
    Examples:
      bascule replicate /run/vm/web.qmp /srv/points --group web
      bascule replicate /run/vm/web.qmp s3://backup/points --every 1m --limit 20M
      bascule replicate /run/vm/web.qmp /run/vm/db.qmp /srv/points --group shop
    """
    from bascule.data.pipeline.flow.crew import Cancel
    from bascule.replication.replicator import Names, Replicator, World
    from bascule.replication.rhythm import Rhythm, keep_on

    tools, screen = tools_of(context), Screen(is_json=is_json)
    name, members = _members(tools, qmp, group, folder)
    stop, cancel = threading.Event(), Cancel()

    def ask() -> None:
        stop.set()
        cancel.request()
        screen.note("Stopping in order; once more stops at once.")

    with opened(tools, store, KeyOptions(key_file, passphrase_file)) as (vault, _), on_stop(ask):
        world = World(
            vault, tools.clock, tools.open_source, _conduct(tools, cancel, throttle_of(tools.clock, limit))
        )
        replicator = Replicator(world, members, Names(name, tools.who))
        rhythm = Rhythm(seconds_from(every), points or None)
        try:
            keep_on(replicator.cycle, rhythm, tools.clock, _Teller(screen), partial(wait_for, stop))
        except Cancelled:
            screen.note(
                "Stopped; the point under way was given up, and the next start sends what it would have."
            )
        finally:
            replicator.close()


def _members(tools: Tools, qmp: list[Path], group: str, folder: Path | None) -> tuple[str, list[Member]]:
    """Return the group's name and its machines: one alone is called as that, several as their sockets."""
    from bascule.replication.members import Member

    if len(qmp) > 1 and not group:
        raise Refused("several machines make one group, which needs a name", cure="name it with --group")

    def member(socket: Path) -> Member:
        # QEMU is told of it, and has a folder of its own to be in.
        room = (folder or socket.with_name(f"{socket.name}.bascule")).absolute()
        room = room / socket.stem if folder and len(qmp) > 1 else room
        return Member(
            socket.stem if len(qmp) > 1 else group or socket.stem, lambda: tools.open_machine(socket, room)
        )

    members = [member(socket) for socket in qmp]
    return group or members[0].id, members


def _conduct(tools: Tools, cancel: Cancel, throttle: Throttle | None) -> Callable[[], Conduct]:
    from bascule.data.pipeline.flow.buffers import Buffers
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.flow.progress import Meter

    buffers = Buffers()
    return lambda: Conduct(Meter(tools.clock), cancel, throttle, buffers=buffers)


class _Teller:
    """Says each cycle on the screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def cycled(self, done: Cycled) -> None:
        copied = done.copied
        disks = [disk.disk if len(copied.point.machines) == 1 else "/".join(disk) for disk in done.compared]
        compared = f", after comparing {', '.join(disks)}" if disks else ""
        fields = {
            "point": point_document(copied.point),
            "read_bytes": copied.read_bytes,
            "sent_bytes": copied.sent_bytes,
            "stored_bytes": copied.stored_bytes,
            "compared": disks,
            "absent": {machine: str(error) for machine, error in done.absent.items()},
            "held_seconds": round(done.held_seconds, 4),
            "seconds": round(done.seconds, 3),
            "rpo_seconds": round(done.point_age_seconds, 3),
        }
        sentence = (
            f"Point {copied.point.group}/{copied.point.number}: changed {bytes_text(copied.read_bytes)},"
            f" stored {bytes_text(copied.stored_bytes)} in {seconds_text(done.seconds)}{compared}."
        )
        away = [f"Without {machine}: {error}." for machine, error in done.absent.items()]
        self._screen.event("point", fields, [sentence, *away])

    def failed(self, error: Unavailable, retry_seconds: float) -> None:
        fields = {"message": error.message, "cure": error.cure, "retry_seconds": retry_seconds}
        self._screen.event("waiting", fields, [f"{error}; next try in {seconds_text(retry_seconds)}."])
