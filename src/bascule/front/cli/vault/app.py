"""``bascule vault``: what the owner of a server does with it, on its machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_text, seconds_from
from bascule.front.cli.words.secrets import write_secret

from . import working
from .calling import call
from .words import Folder, VaultName, at, done, listed

app = typer.Typer(
    name="vault",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Vaults of a server that runs here (`bascule serve`), as the user that it runs as.",
)


@app.command()
def create(
    folder: Folder,
    vault: VaultName,
    group: Annotated[
        str, typer.Option("--group", metavar="NAME", help="The resource group that clients of the API name.")
    ] = "bascule",
    is_json: Json = False,
) -> None:
    """Make a vault: a place for hosts, items, policies and jobs, which sees nothing of the others.

    \b
    Example:
      bascule vault create /srv/vaults north
    """
    done(folder, "vaults.create", f"Made vault {vault}.", is_json=is_json, name=vault, group=group)


@app.command()
def remove(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """Remove a vault in which nothing is protected and no host is let in. Its record of deeds stays.

    \b
    Example:
      bascule vault remove /srv/vaults north
    """
    done(folder, "vaults.remove", f"Removed vault {vault}.", is_json=is_json, vault=vault)


@app.command("ls")
def list_vaults(folder: Folder, is_json: Json = False) -> None:
    """List the vaults of a server.

    \b
    Example:
      bascule vault ls /srv/vaults
    """
    listed(folder, "vaults.list", ["VAULT"], lambda one: [one["name"]], is_json=is_json)


@app.command()
def role(
    *,
    folder: Folder,
    vault: VaultName,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Their name.", show_default=False)],
    role: Annotated[
        str,
        typer.Argument(metavar="ROLE", help="contributor, operator, reader or none.", show_default=False),
    ],
    is_json: Json = False,
) -> None:
    """Say what a person may do in a vault, in place of what they might.

    Contributors may do everything but this, operators fail over and back, readers look.

    \b
    Example:
      bascule vault role /srv/vaults north anna operator
    """
    if role == "none":
        said = f"{person} is nothing in {vault}."
        done(folder, "vaults.unassign", said, is_json=is_json, vault=vault, name=person)
        return
    said = f"{person} is a {role} of {vault}."
    done(folder, "vaults.assign", said, is_json=is_json, vault=vault, name=person, role=role)


@app.command()
def site(
    folder: Folder,
    vault: VaultName,
    name: Annotated[str, typer.Argument(metavar="SITE", help="The new site.", show_default=False)],
    is_json: Json = False,
) -> None:
    """Make a site in a vault, which hosts may join.

    \b
    Example:
      bascule vault site /srv/vaults north paris
    """
    done(folder, "fabrics.create", f"Made site {name}.", is_json=is_json, vault=vault, name=name)


@app.command()
def key(
    *,
    folder: Folder,
    vault: VaultName,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.", show_default=False)],
    file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The key file to make.", show_default=False)
    ],
    lasts: Annotated[
        str, typer.Option("--lasts", metavar="TIME", help="How long hosts may join by it.")
    ] = "5d",
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="HOST", help="Only for this host, which begins anew.", show_default=False
        ),
    ] = "",
    is_json: Json = False,
) -> None:
    """Make a registration key: a file by which hosts may join a site, each of them once, until it expires.

    Who has the file can join as a new host: treat it as a password.

    \b
    Examples:
      bascule vault key /srv/vaults north paris --out join.key
      bascule provider register join.key --folder /srv/provider     (on the host)
    """
    seconds = seconds_from(lasts)
    made = call(folder, "fabrics.invite", vault=vault, fabric=site, lasts_seconds=seconds, host=host)
    write_secret(file, json.dumps(made, indent=1).encode() + b"\n")
    shown = {name: made[name] for name in ("vault", "key", "addresses", "expires_at")}
    until = moment_text(made["expires_at"])
    Screen(is_json=is_json).show(
        {**shown, "file": str(file)},
        [f"Made registration key {file}; hosts may join {site} by it until {until}."],
    )


@app.command()
def hosts(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """List the hosts that joined a vault.

    \b
    Example:
      bascule vault hosts /srv/vaults north
    """
    listed(
        folder,
        "fabrics.servers",
        ("HOST", "NAME", "SITE", "JOINED", "STATE"),
        lambda one: (
            one["id"],
            one["name"],
            one["fabric"],
            at(one["registered_at"]),
            "revoked" if one["is_revoked"] else "known",
        ),
        is_json=is_json,
        vault=vault,
    )


@app.command()
def machines(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """List the machines that could be protected, as the hosts say that they have them.

    A host says so when its provider runs with `--host`.

    \b
    Example:
      bascule vault machines /srv/vaults north
    """
    listed(
        folder,
        "fabrics.machines",
        ("HOST", "MACHINE", "SITE"),
        lambda one: (one["server"], one["machine"], one["fabric"]),
        is_json=is_json,
        vault=vault,
    )


@app.command()
def revoke(
    folder: Folder,
    vault: VaultName,
    host: Annotated[str, typer.Argument(metavar="HOST", help="A host's id.", show_default=False)],
    is_json: Json = False,
) -> None:
    """Let a host in no more, whatever it shows. A key made with `--host` lets it join again.

    \b
    Example:
      bascule vault revoke /srv/vaults north 0f3a…
    """
    said = f"Host {host} is not let in any more."
    done(folder, "fabrics.revoke", said, is_json=is_json, vault=vault, server=host)


@app.command()
def policy(
    *,
    folder: Folder,
    vault: VaultName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy.", show_default=False)],
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="How often a point is made.")] = "30s",
    keep: Annotated[
        str, typer.Option("--keep", metavar="LADDER", help="Which points are kept, by age.")
    ] = "2h:all,24h:5m,30d:1d",
    threshold: Annotated[
        str, typer.Option("--rpo", metavar="TIME", help="How much may be lost before it is an event.")
    ] = "15m",
    consistent_every: Annotated[
        str,
        typer.Option("--consistent-every", metavar="TIME", help="How often a point is at rest; 0s never."),
    ] = "0s",
    is_json: Json = False,
) -> None:
    """Make a policy of a vault, or change it for whatever is enabled from now on.

    \b
    Example:
      bascule vault policy /srv/vaults north daily --every 5m --rpo 30m
    """
    made = {
        "interval_seconds": seconds_from(every),
        "retention": keep,
        "rpo_threshold_seconds": seconds_from(threshold),
        "app_consistent_seconds": seconds_from(consistent_every),
    }
    done(
        folder, "policies.put", f"Policy {name} is set.", is_json=is_json, vault=vault, name=name, policy=made
    )


@app.command()
def audit(
    folder: Folder,
    vault: Annotated[
        str, typer.Argument(metavar="[VAULT]", help="The vault; or the server.", show_default=False)
    ] = "",
    is_json: Json = False,
) -> None:
    """Show who did what in a vault, who looked, and who was refused.

    \b
    Example:
      bascule vault audit /srv/vaults north
    """
    listed(
        folder,
        "vaults.deeds",
        ("AT", "WHO", "WHAT", "SUBJECT", "RESULT", "DETAIL"),
        lambda one: (
            at(one["at"]),
            one["who"],
            one["what"],
            one["subject"],
            one["code"] or "done",
            one["detail"],
        ),
        is_json=is_json,
        vault=vault,
    )


for command in working.COMMANDS:
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
