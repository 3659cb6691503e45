"""``bascule event``: what happened in a vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_text

app = typer.Typer(
    name="event",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What happened in a vault: each line comes once, when something begins to be wrong or is over.",
)


@app.command("ls")
def list_events(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List a vault's events, the newest first.

    \b
    Example:
      bascule event ls
    """
    found = server_of(context, profile, vault).all("replication_events.list")

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        at = moment_text(moment_from(text(said["timeOfOccurrence"])))
        subject, code = text(said["affectedObjectFriendlyName"]), text(said["eventCode"])
        return at, subject, text(said["severity"]), code, text(said["description"])

    listed(found, ("AT", "SUBJECT", "SEVERITY", "CODE", "WHAT"), row, is_json=is_json)
