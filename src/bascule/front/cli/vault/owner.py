"""``bascule owner``: what the owner of a server asks of it on its own machine, without signing in.

For when nobody can sign in: the API does not open, its certificate has expired, all secrets are lost. Who may
is whoever can open the socket in the server's folder. Calls are named by desk and verb, and answer JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.options import Json
from bascule.model.errors import Refused

from .calling import call


def owner(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="The folder of the server, which runs.", show_default=False),
    ],
    what: Annotated[
        str, typer.Argument(metavar="CALL", help="DESK.VERB, as vaults.list.", show_default=False)
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="What it needs to know.", show_default=False),
    ] = None,
    is_json: Json = False,
) -> None:
    """Ask a server on this machine without signing in, as the user that it runs as. Answers are JSON.

    For when nobody can sign in; `bascule login` and the other commands are easier. A value that is JSON is
    taken as such.

    \b
    Examples:
      bascule owner /srv/vaults vaults.list
      bascule owner /srv/vaults vaults.assign vault=north name=anna role=operator
      bascule owner /srv/vaults items.command vault=north item=web command=failover input='{}'
    """
    found = call(folder, what, **dict(_pair(word) for word in words or ()))
    Screen(is_json=is_json).show({"value": found}, [json.dumps(found, indent=2)])


def _pair(word: str) -> tuple[str, object]:
    name, mark, value = word.partition("=")
    if not (name and mark):
        raise Refused(f"{word!r} is no NAME=VALUE", cure="write it like vault=north")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
