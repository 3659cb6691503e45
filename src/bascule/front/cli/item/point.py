"""``bascule point``: what an item can be started from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from bascule.front.cli.remote import finding
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_text

from .words import Item

app = typer.Typer(
    name="point",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Recovery points of an item, any of which it can be started from.",
)


@app.command("ls")
def list_points(
    context: typer.Context, name: Item, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List an item's recovery points, as the host has them that would start it, the newest first.

    \b
    Example:
      bascule point ls web
    """
    server = server_of(context, profile, vault)
    place, _ = finding.item(server, name)
    found = server.all("recovery_points.list_by_replication_protected_items", *place)

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        captured = moment_text(moment_from(text(said["recoveryPointTime"])))
        return text(one["name"]), captured, text(said["recoveryPointType"])

    listed(found, ("POINT", "CAPTURED", "CONSISTENCY"), row, is_json=is_json)
