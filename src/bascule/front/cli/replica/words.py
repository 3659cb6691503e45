"""What the commands of ``bascule replica`` share: their options, and what these open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.belonging import belonging_of
from bascule.front.cli.words.options import host_of, tools_of
from bascule.front.cli.words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.pipeline.flow.progress import Observer
    from bascule.front.cli.tools import Tools
    from bascule.ports.hypervisors import Hypervisor
    from bascule.recovery.record import Record, Say
    from bascule.recovery.site import Site

_USUAL = "/var/lib/bascule/replicas"

Group = Annotated[
    str,
    typer.Argument(
        metavar="GROUP",
        help="The replication group, as `bascule store ls STORE` shows it.",
        show_default=False,
    ),
]
Point = Annotated[
    str,
    typer.Argument(
        metavar="POINT",
        help="GROUP for its newest point, or GROUP/NUMBER for another one.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help=f"Room for what recovered machines write. Or set BASCULE_REPLICAS. [{_USUAL}]",
        show_default=False,
    ),
]


class Where(NamedTuple):
    """The options that every verb has."""

    store: str
    host: str
    folder: Path | None
    key_file: Path | None
    passphrase_file: Path | None
    workers: int = 3


@contextmanager
def site_of(context: typer.Context, where: Where, screen: Screen) -> Iterator[Site]:
    """Open store and host."""
    with site_at(tools_of(context), where, host_of(context, where.host), screen.note) as site:
        yield site


@contextmanager
def site_at(
    tools: Tools,
    where: Where,
    hypervisor: Hypervisor,
    say: Say,
    observer: Callable[[], Observer | None] = lambda: None,
) -> Iterator[Site]:
    """Open a store for a host that is open; ``observer`` returns who looks at a transfer that begins."""
    from bascule.data.pipeline.flow.conduct import Conduct
    from bascule.data.pipeline.flow.progress import Meter
    from bascule.recovery.record import Records
    from bascule.recovery.site import Site

    root = where.folder or Path(tools.settings.get("BASCULE_REPLICAS", _USUAL))
    words = [where.store]
    for option, path in (("--key-file", where.key_file), ("--passphrase-file", where.passphrase_file)):
        words += [option, str(path.absolute())] if path else []
    belonging = belonging_of(tools, where.store, where.key_file, where.passphrase_file)
    with opened(tools, where.store, KeyOptions(where.key_file, where.passphrase_file)) as (vault, _):
        serving = tools.point_servers(words, lambda: vault)
        records = Records(root.absolute())
        yield Site(
            vault,
            hypervisor,
            serving,
            tools.images(),
            lambda: Conduct(Meter(tools.clock, observer()), workers=where.workers, readers=where.workers),
            records,
            tools.ids,
            tools.who,
            say,
            belonging,
        )


def show(screen: Screen, record: Record, sentence: str, **figures: int) -> None:
    """Say where a record is."""
    names = [member.definition.name for member in record.members]
    document = {
        "kind": record.kind.value,
        "group": record.group,
        "point": record.number,
        "log": record.log,
        "phase": record.phase.value,
        "machines": names,
        **figures,
    }
    screen.show(document, [sentence])
