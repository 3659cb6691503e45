"""``bascule role``: who may do what in a vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json

app = typer.Typer(
    name="role",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who may do what in a vault. Contributors may do all but this, operators fail over and back,"
    " readers look. Only owners of the server may change it.",
)
Who = Annotated[
    str, typer.Argument(metavar="NAME", help="A service principal or a user.", show_default=False)
]


@app.command("set")
def put(
    *,
    context: typer.Context,
    name: Who,
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="contributor, operator or reader.", show_default=False)
    ],
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Say what somebody may do in a vault, in place of what they might.

    \b
    Example:
      bascule role set nightly operator
    """
    server = server_of(context, profile, vault)
    made = server.send("PUT", _path(name), {"properties": {"role": role}})
    Screen(is_json=is_json).show(made, [f"{name} is {role} of {server.vault}."])


@app.command()
def remove(
    context: typer.Context, name: Who, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Take somebody's role in a vault away.

    \b
    Example:
      bascule role remove nightly
    """
    server = server_of(context, profile, vault)
    server.send("DELETE", _path(name))
    Screen(is_json=is_json).show({"name": name}, [f"{name} is nothing in {server.vault} any more."])


@app.command("ls")
def list_roles(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List who may do what in a vault.

    \b
    Example:
      bascule role ls
    """

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        return text(one["name"]), text(properties(one)["role"])

    found = server_of(context, profile, vault).pages("basculeRoles")
    listed(found, ("NAME", "ROLE"), row, is_json=is_json)


def _path(name: str) -> str:
    return f"basculeRoles/{quote(name, safe='')}"
