"""``bascule principal``: programs that may sign in at a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, listed, properties, server_of, text
from bascule.front.cli.remote.server import Server
from bascule.front.cli.words.agreeing import Yes, agreed
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_from, moment_text
from bascule.front.cli.words.secrets import write_secret

app = typer.Typer(
    name="principal",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Service principals of a server: programs and scripts that sign in by a secret. What each may do in"
    " a vault says `bascule role`.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The service principal.", show_default=False)]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The file to make, with all that is needed to sign in.",
        show_default=False,
    ),
]


@app.command()
def create(
    *,
    context: typer.Context,
    name: Name,
    out: Out,
    owner: Annotated[
        bool, typer.Option("--owner", help="It owns the server: all vaults, roles and principals.")
    ] = False,
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a service principal. Its secret is told this once, and written into a file for `bascule login`.

    \b
    Example:
      bascule principal create nightly --out nightly.json
      bascule role set nightly operator
      bascule login nightly.json --profile nightly
    """
    server = server_of(context, profile)
    made = server.send("PUT", _path(server, name), {"properties": {"role": "owner" if owner else ""}})
    _kept(server, made, out, f"Made service principal {name}", is_json=is_json)


@app.command()
def renew(
    *, context: typer.Context, name: Name, out: Out, profile: Profile = "", is_json: Json = False
) -> None:
    """Give a service principal one more secret; the others stay until they are forgotten or expire.

    \b
    Example:
      bascule principal renew nightly --out nightly-2.json
    """
    server = server_of(context, profile)
    made = server.send("POST", f"{_path(server, name)}/renewSecret", {})
    _kept(server, made, out, f"{name} has one more secret", is_json=is_json)


@app.command()
def forget(
    context: typer.Context,
    name: Name,
    secret: Annotated[
        str, typer.Argument(metavar="SECRET", help="The secret's id: see `principal ls`.", show_default=False)
    ],
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Take a secret of a service principal away: who signed in by it is out at once.

    \b
    Example:
      bascule principal forget nightly 0f3a…
    """
    server = server_of(context, profile)
    server.send("DELETE", f"{_path(server, name)}/secrets/{quote(secret, safe='')}")
    Screen(is_json=is_json).show(
        {"name": name, "secret": secret}, [f"Secret {secret} of {name} is forgotten."]
    )


@app.command()
def remove(
    context: typer.Context, name: Name, yes: Yes = False, profile: Profile = "", is_json: Json = False
) -> None:
    """Remove a service principal with its secrets and all its roles.

    \b
    Example:
      bascule principal remove nightly
    """
    server, screen = server_of(context, profile), Screen(is_json=is_json)
    agreed(screen, f"{name}: out at once, everywhere, with all its roles.", yes=yes)
    server.send("DELETE", _path(server, name))
    screen.show({"name": name}, [f"Removed service principal {name}."])


@app.command("ls")
def list_principals(context: typer.Context, profile: Profile = "", is_json: Json = False) -> None:
    """List the service principals of a server, each with its secrets' ids and when they expire.

    \b
    Example:
      bascule principal ls
    """

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        secrets = (
            f"{held['id']} until {moment_text(moment_from(held['expiresAt']))}" for held in said["secrets"]
        )
        return text(one["name"]), text(said["clientId"]), text(said["role"]), ", ".join(secrets)

    server = server_of(context, profile)
    found = server.pages(_path(server, "").rstrip("/"))
    listed(found, ("NAME", "CLIENT ID", "ROLE", "SECRETS"), row, is_json=is_json)


def _path(server: Server, name: str) -> str:
    principals = f"/subscriptions/{server.profile.tenant}/providers/Bascule/servicePrincipals"
    return f"{principals}/{quote(name, safe='')}"


def _kept(server: Server, made: Mapping[str, Any], out: Path, said: str, *, is_json: bool) -> None:
    told, profile = properties(made), server.profile
    document = {
        **{"url": profile.url, "authority": "", "fingerprint": profile.fingerprint},
        **{"tenant": profile.tenant, "subscription": profile.tenant},
        **{"client_id": told["clientId"], "client_secret": told["secret"]},
    }
    write_secret(out, json.dumps(document, indent=1).encode() + b"\n")
    shown = {"name": made["name"], "clientId": told["clientId"], "file": str(out)}
    Screen(is_json=is_json).show(shown, [f"{said}; what it signs in with is in {out}, for its eyes only."])
