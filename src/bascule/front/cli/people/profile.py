"""``bascule profile``: the servers that this user signed in at."""

from __future__ import annotations

from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import table
from bascule.front.cli.remote.profiles import Profiles
from bascule.front.cli.words.options import Json, tools_of

app = typer.Typer(
    name="profile",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Servers that you signed in at (`bascule login`), and which of them is meant.",
)


@app.command("ls")
def list_profiles(context: typer.Context, is_json: Json = False) -> None:
    """List your profiles; a star marks the one that is meant when none is named.

    \b
    Example:
      bascule profile ls
    """
    profiles = Profiles(tools_of(context).settings)
    found, current = profiles.all(), profiles.current
    rows = [
        ("*" if one.name == current else "", one.name, one.url, one.user or one.client, one.vault)
        for one in found
    ]
    shown = [
        {
            "name": one.name,
            "url": one.url,
            "client": one.client,
            "user": one.user,
            "vault": one.vault,
            "fingerprint": one.fingerprint,
        }
        for one in found
    ]
    lines = table(("", "PROFILE", "SERVER", "AS", "VAULT"), rows) if rows else ["You are signed in nowhere."]
    Screen(is_json=is_json).show({"current": current, "profiles": shown}, lines)


@app.command()
def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="The profile.", show_default=False)],
    is_json: Json = False,
) -> None:
    """Say which profile is meant when none is named.

    \b
    Example:
      bascule profile use north
    """
    found = Profiles(tools_of(context).settings).use(name)
    Screen(is_json=is_json).show({"profile": found.name}, [f"{found.name} is meant: {found.url}."])
