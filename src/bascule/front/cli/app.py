"""The commands, put together. Each imports what it needs when it runs, so that ``--help`` is instant."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import typer

from . import copy, key, replicate, restore, serve_point, store, upkeep
from .door.app import app as door
from .machine.app import app as machine
from .printing.screen import say
from .provider import joining, protecting, running, status, wishing
from .replica.app import app as replica

_HELP = """Keep recovery points of disks, and get them back.

\b
A first tour, from a disk image to a point and back:
  bascule key create main.key
  export BASCULE_KEY_FILE=main.key
  bascule store init /srv/points
  bascule copy /vm/web.qcow2 /srv/points --group web
  bascule store ls /srv/points web
  bascule restore /srv/points web/latest /vm/web-again.qcow2

Machines that run are kept replicated by `bascule provider run`, which `bascule protect` tells of them.

Every command knows --help and --json. Exit codes: 0 done, 2 refused, 3 unavailable (ask again later),
4 damaged, 130 stopped on request.
"""


@cache
def build() -> typer.Typer:
    """Return the app, made once; start it with ``obj`` set to the tools."""
    app = typer.Typer(
        name="bascule",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_top)
    store.app.command()(upkeep.verify)
    store.app.command()(upkeep.sweep)
    app.add_typer(store.app)
    app.add_typer(key.app)
    app.add_typer(machine)
    app.add_typer(replica)
    app.command("copy")(copy.copy)
    app.command("replicate")(replicate.replicate)
    app.command("protect")(protecting.protect)
    app.command("unprotect")(protecting.unprotect)
    app.command("status")(status.status)
    app.command("pause")(wishing.pause)
    app.command("resume")(wishing.resume)
    app.command("resync")(wishing.resync)
    running.app.command("register")(joining.register)
    running.app.command("status")(joining.status)
    app.add_typer(running.app)
    app.add_typer(door)
    app.command("restore")(restore.restore)
    app.command("serve-point")(serve_point.serve_point)
    return app


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        say(f"bascule {version('bascule')}")
        raise typer.Exit


def _top(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Know the options that come before a command."""
