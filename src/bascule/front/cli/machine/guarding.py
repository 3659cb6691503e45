"""``bascule machine guard``: machines that others start ask first where they belong (R-FO-7)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.belonging import must_be_home
from bascule.front.cli.words.options import Host, Json, MachineName, host_of, tools_of
from bascule.model.errors import Missing, Refused

Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="Lines of NAME=VALUE that the question needs, such as credentials of the store. [none]",
        show_default=False,
    ),
]
Mark = Annotated[Path, typer.Argument(metavar="FILE", help="What the machine is marked with.")]


def guard(context: typer.Context, host: Host = "", settings: Settings = None, is_json: Json = False) -> None:
    """Have machines that are started past Bascule ask first whether it is their turn on this host.

    For hosts of libvirt, whose machines start when the host boots, or by `virsh start`: from then on one that
    is replicated, or was taken over, stays off, as with `bascule machine start`, if its group went over to
    another side, was handed over, or if the store does not answer within a minute. To start it nevertheless
    say `bascule machine start NAME --force`. Machines that belong to no group are not asked for.

    It is a hook of libvirt's (/etc/libvirt/hooks/qemu.d); remove the file to be rid of it. The daemon finds
    the first hook when it starts.

    \b
    Examples:
      bascule machine guard --host libvirt:///system
      bascule machine guard --host libvirt:///system --settings /etc/bascule/credentials
    """
    tools = tools_of(context)
    if settings is not None and not settings.is_file():
        raise Refused(f"no file is at {settings}", cure="name the file with what the store asks for")
    place = settings.absolute() if settings else None
    left = host_of(context, host).guard((*tools.itself, "machine", "may-start"), place)
    lines = [f"Whoever starts a machine here asks first. {left[0].upper()}{left[1:]}."] if left else []
    lines = lines or ["Nobody starts machines of this host past Bascule, so there is nothing to guard."]
    Screen(is_json=is_json).show({"guarded": True, "left_to_do": left}, lines)


def may_start(context: typer.Context, name: MachineName, mark: Mark, is_json: Json = False) -> None:
    """Tell by the exit code whether a machine may start here, by what it is marked with: for the guard.

    \b
    Example:
      bascule machine may-start web /run/web.mark
    """
    try:
        text = mark.read_text()
    except OSError as error:
        raise Missing(f"{mark}: {error.strerror}", cure="ask for a machine that is marked") from error
    if text:
        must_be_home(tools_of(context), name, text)
    Screen(is_json=is_json).show({"may_start": True}, [])
