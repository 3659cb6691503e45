"""``bascule record``: who did what in a vault, and who was refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from bascule.front.cli.remote.options import Profile, Vault, listed, server_of, text
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_text

app = typer.Typer(
    name="record",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The record of a vault: who did what, who looked, and who was refused.",
)


@app.command("ls")
def list_record(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List the last thousand deeds in a vault, the newest first. A result that is not `done` is a refusal.

    \b
    Example:
      bascule record ls
    """

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        at, result = moment_text(moment_from(text(one["at"]))), text(one["code"]) or "done"
        return at, text(one["who"]), text(one["what"]), text(one["subject"]), result, text(one["detail"])

    found = server_of(context, profile, vault).pages("basculeRecords")
    listed(found, ("AT", "WHO", "WHAT", "SUBJECT", "RESULT", "DETAIL"), row, is_json=is_json)
