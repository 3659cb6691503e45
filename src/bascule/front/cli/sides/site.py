"""``bascule site``: where hosts are, and how they come in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import moment_text, seconds_from
from bascule.front.cli.words.secrets import write_secret

app = typer.Typer(
    name="site",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Sites of a vault: places with hosts, which join by a registration key.",
)
Name = Annotated[str, typer.Argument(metavar="SITE", help="The site.", show_default=False)]


@app.command()
def create(
    context: typer.Context, name: Name, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Make a site, which hosts may join.

    \b
    Example:
      bascule site create paris
    """
    body = {"properties": {"customDetails": {"instanceType": "HyperVSite"}}}
    made = server_of(context, profile, vault).begin("replication_fabrics.create", name, body).value
    Screen(is_json=is_json).show(made, [f"Made site {name}."])


@app.command()
def remove(
    context: typer.Context, name: Name, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Remove a site without hosts.

    \b
    Example:
      bascule site remove paris
    """
    server_of(context, profile, vault).begin("replication_fabrics.delete", name)
    Screen(is_json=is_json).show({"name": name}, [f"Removed site {name}."])


@app.command("ls")
def list_sites(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List the sites of a vault.

    \b
    Example:
      bascule site ls
    """
    found = server_of(context, profile, vault).all("replication_fabrics.list")

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        hosts = (said.get("customDetails") or {}).get("hyperVHosts") or ()
        return text(one["name"]), str(len(hosts)), text(said.get("health"))

    listed(found, ("SITE", "HOSTS>", "HEALTH"), row, is_json=is_json)


@app.command()
def key(
    *,
    context: typer.Context,
    name: Name,
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
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a registration key: a file by which hosts may join a site, each of them once, until it expires.

    Who has the file can join as a new host: treat it as a password.

    \b
    Examples:
      bascule site key paris --out join.key
      bascule provider register join.key --folder /srv/provider     (on the host)
    """
    body = {"properties": {"lastsSeconds": seconds_from(lasts), "host": host}}
    server = server_of(context, profile, vault)
    made = server.send("POST", f"replicationFabrics/{name}/basculeRegistrationKeys", body)
    write_secret(file, json.dumps(made, indent=1).encode() + b"\n")
    shown = {word: made[word] for word in ("vault", "key", "addresses", "expires_at")}
    until = moment_text(made["expires_at"])
    Screen(is_json=is_json).show(
        {**shown, "file": str(file)},
        [f"Made registration key {file}; hosts may join {name} by it until {until}."],
    )


@app.command()
def machines(
    context: typer.Context,
    name: Name,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Only those of this host.", show_default=False)
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """List the machines of a site that could be protected, as its hosts say that they have them.

    A host says so when its provider runs with `--host`.

    \b
    Example:
      bascule site machines paris
    """
    from bascule.front.cli.remote import finding

    server = server_of(context, profile, vault)
    names = {text(one["name"]): text(properties(one)["friendlyName"]) for one in finding.hosts(server)}
    found = finding.machines(server, name)

    def host_of(one: finding.Document) -> str:
        return names.get(finding.last(properties(one)["recoveryServicesProviderId"]), "")

    def row(one: finding.Document) -> tuple[str, ...]:
        said = properties(one)
        return host_of(one), text(said["friendlyName"]), text(said["protectionStatus"])

    shown = [one for one in found if host in ("", host_of(one))]
    listed(shown, ("HOST", "MACHINE", "PROTECTION"), row, is_json=is_json)


@app.command()
def leads(
    *,
    context: typer.Context,
    name: Name,
    recovery: Annotated[
        str, typer.Option("--to", metavar="HOST", help="The host that takes over.", show_default=False)
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="STORE", help="Where points go, as both hosts call it.", show_default=False
        ),
    ] = "",
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file", metavar="FILE", help="The store's key, as both hosts call it.", show_default=False
        ),
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Say where the machines of a site are replicated to and who takes them over, in place of what was said.

    Without options it shows what was said.

    \b
    Example:
      bascule site leads paris --to two --store s3://bucket/points --key-file /etc/bascule/main.key
    """
    from bascule.front.cli.remote import finding

    server = server_of(context, profile, vault)
    path = f"replicationFabrics/{name}/basculeRecoverySettings"
    said = finding.target(server, recovery, store, key_file)
    found = server.send("PUT", path, {"properties": said}) if said else server.send("GET", path)
    told = properties(found)
    hosts = {one["id"]: text(properties(one)["friendlyName"]) for one in finding.hosts(server)}
    to = hosts.get(told["recoveryServicesProviderId"], "nobody")
    lines = [f"{name} leads to {to}, by {told['store'] or 'no store'} with {told['keyFile'] or 'no key'}."]
    Screen(is_json=is_json).show(found, lines)
