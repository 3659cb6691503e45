"""``bascule host``: the hosts that joined a vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote import finding
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.agreeing import Yes, agreed
from bascule.front.cli.words.options import Json

app = typer.Typer(
    name="host",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Hosts that joined a vault by a key of a site (`bascule site key`, `bascule provider register`).",
)
Name = Annotated[str, typer.Argument(metavar="HOST", help="A host's name, or its id.", show_default=False)]


@app.command("ls")
def list_hosts(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List the hosts of a vault.

    \b
    Example:
      bascule host ls
    """
    found = finding.hosts(server_of(context, profile, vault))

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        site, state = text(said["fabricFriendlyName"]), text(said["connectionStatus"])
        return text(said["friendlyName"]), site, state, text(one["name"])

    listed(found, ("HOST", "SITE", "STATE", "ID"), row, is_json=is_json)


@app.command()
def revoke(
    *,
    context: typer.Context,
    name: Name,
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Let a host in no more, whatever it shows. A key made with `site key --host` lets it join again.

    \b
    Example:
      bascule host revoke one
    """
    server, screen = server_of(context, profile, vault), Screen(is_json=is_json)
    found = finding.host(server, name)
    agreed(screen, f"{name}: not let in any more; what it protects is not commanded from here then.", yes=yes)
    server.begin("replication_recovery_services_providers.delete", finding.fabric_of(found), found["name"])
    screen.show({"name": found["name"]}, [f"Host {name} is not let in any more."])
