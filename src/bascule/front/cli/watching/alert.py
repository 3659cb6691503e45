"""``bascule alert``: who is told by mail of what happens in a vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, Vault, properties, server_of
from bascule.front.cli.words.options import Json
from bascule.model.errors import Refused

app = typer.Typer(
    name="alert",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who is told by mail of what happens in a vault. Of what `bascule event ls` shows it is the"
    " worst, and what is over.",
)
_ONLY = "defaultAlertSetting"


@app.command("set")
def put(
    *,
    context: typer.Context,
    mail: Annotated[
        list[str] | None,
        typer.Option("--mail", metavar="MAILBOX", help="Who is told; may be said again.", show_default=False),
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Tell nobody by mail any more.")] = False,
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Say who is told by mail, in place of who was. An address that events are posted to stays as it is.

    \b
    Examples:
      bascule alert set --mail ops@example.com --mail duty@example.com
      bascule alert set --nobody
    """
    if bool(mail) == nobody:
        raise Refused("who is told is not clear", cure="name mailboxes with --mail, or say --nobody")
    server = server_of(context, profile, vault)
    asked = {"properties": {"customEmailAddresses": mail or []}}
    _shown(
        server.get("replication_alert_settings.create", _ONLY, request=asked), server.vault, is_json=is_json
    )


@app.command()
def show(context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False) -> None:
    """Show who is told by mail.

    \b
    Example:
      bascule alert show
    """
    server = server_of(context, profile, vault)
    _shown(server.get("replication_alert_settings.get", _ONLY), server.vault, is_json=is_json)


def _shown(made: Mapping[str, Any], vault: str, *, is_json: bool) -> None:
    told = properties(made).get("customEmailAddresses") or ()
    lines = [f"Of vault {vault} are told by mail:", *(f"  {one}" for one in told)]
    Screen(is_json=is_json).show(made, lines if told else [f"Nobody is told by mail of vault {vault}."])
