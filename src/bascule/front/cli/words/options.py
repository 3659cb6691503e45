"""Options that several commands share, and what they say about themselves in ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bascule.front.cli.tools import Tools
from bascule.model.errors import Refused

if TYPE_CHECKING:
    from bascule.ports.hypervisors import Hypervisor

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Where the points are kept: a folder, az://CONTAINER/PREFIX or s3://BUCKET/PREFIX.",
        show_default=False,
    ),
]

Point = Annotated[
    str,
    typer.Argument(
        metavar="POINT",
        help="A recovery point: GROUP/NUMBER, or GROUP or GROUP/latest for its newest.",
        show_default=False,
    ),
]

KeyFilePath = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="The key file that opens the store. Or set BASCULE_KEY_FILE.",
        show_default=False,
    ),
]

PassphrasePath = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="A file whose first line is the passphrase. Or set BASCULE_PASSPHRASE, or be asked for it.",
        show_default=False,
    ),
]

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="FOLDER",
        help="The host of machines: a folder of QEMU machines. Or set BASCULE_HOST.",
        show_default=False,
    ),
]

MachineName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="As `bascule machine list` shows it.", show_default=False),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

Workers = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=64, help="Threads that compress and seal, or decode."),
]

Limit = Annotated[
    str,
    typer.Option(
        "--limit",
        metavar="RATE",
        help="Bytes per second on the line to the store: 50M, or by the hour 50M,5M@mon-fri/08:00-18:00.",
        show_default=False,
    ),
]

OneMachine = Annotated[
    str,
    typer.Option("--machine", metavar="ID", help="Only this machine of the point. [all]", show_default=False),
]

SomeDisks = Annotated[
    list[str] | None,
    typer.Option("--disk", metavar="ID", help="Only this disk; may be repeated. [all]", show_default=False),
]

NoPin = Annotated[
    bool,
    typer.Option(
        "--no-pin",
        help="Write no note into the store that the point is in use: for a store that one may only read,"
        " and safe only while nobody sweeps it.",
    ),
]


def tools_of(context: typer.Context) -> Tools:
    """Return the tools that the app was started with."""
    return cast(Tools, context.obj)


def host_of(context: typer.Context, words: str) -> Hypervisor:
    """Open the host that an option or the environment names."""
    tools = tools_of(context)
    named = words or tools.settings.get("BASCULE_HOST", "")
    if not named:
        raise Refused("which host is not said", cure="name it with --host FOLDER, or set BASCULE_HOST")
    return tools.open_hypervisor(named)
