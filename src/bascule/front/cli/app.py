"""The commands, put together.

A process runs one command, so it loads one: all of them together took a quarter of the time of a small
copy. Each imports what it works with when it runs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from .printing.screen import say

# Where the command or the nouns' own commands live that a word stands for, in the order of ``--help``.
_SHELF = {
    "store": "store:app",
    "key": "key:app",
    "machine": "machine.app:app",
    "replica": "replica.app:app",
    "copy": "copy:copy",
    "replicate": "replicate:replicate",
    "protect": "provider.protecting:protect",
    "unprotect": "provider.protecting:unprotect",
    "status": "provider.status:status",
    "pause": "provider.wishing:pause",
    "resume": "provider.wishing:resume",
    "resync": "provider.wishing:resync",
    "provider": "provider.running:app",
    "serve": "vault.serve:serve",
    "owner": "vault.owner:owner",
    "login": "people.login:login",
    "logout": "people.login:logout",
    "profile": "people.profile:app",
    "vault": "vault.app:app",
    "site": "sides.site:app",
    "host": "sides.host:app",
    "policy": "sides.policy:app",
    "mapping": "sides.mapping:app",
    "item": "item.app:app",
    "point": "item.point:app",
    "job": "watching.job:app",
    "event": "watching.event:app",
    "record": "watching.record:app",
    "principal": "people.principal:app",
    "role": "people.role:app",
    "door": "door.app:app",
    "restore": "restore:restore",
    "serve-point": "serve_point:serve_point",
}

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


def build(word: str = "") -> typer.Typer:
    """Return the app; start it with ``obj`` set to the tools.

    Where ``word`` names a command, the app knows no other; else it knows all, to show or to suggest them.
    """
    return _build(word if word in _SHELF else "")


@cache
def _build(only: str) -> typer.Typer:
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
    for word in [only] if only else _SHELF:
        module, _, name = _SHELF[word].partition(":")
        found = getattr(import_module(f".{module}", __package__), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found)
        else:
            app.command(word)(found)
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
