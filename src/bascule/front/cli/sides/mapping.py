"""``bascule mapping``: protection groups, in the API's words container mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote import finding
from bascule.front.cli.remote.options import KIND, Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json

app = typer.Typer(
    name="mapping",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Protection groups of a vault: the machines of a site, a policy, and where they lead. (Azure calls"
    " them container mappings.)",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The group.", show_default=False)]
_GROUP = "replication_protection_container_mappings"


@app.command()
def create(
    *,
    context: typer.Context,
    name: Name,
    site: Annotated[
        str, typer.Option("--site", metavar="SITE", help="Where its machines are.", show_default=False)
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="POLICY", help="Its policy.", show_default=False)
    ],
    recovery: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="HOST",
            help="The host that takes over. [as the site leads to]",
            show_default=False,
        ),
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="STORE", help="Where points go. [as the site leads to]", show_default=False
        ),
    ] = "",
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file", metavar="FILE", help="The store's key. [as the site leads to]", show_default=False
        ),
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a protection group, or change it: machines that are protected by its policy lead where it says.

    \b
    Example:
      bascule mapping create shops --site paris --policy daily --to two
    """
    server = server_of(context, profile, vault)
    ours = finding.target(server, recovery, store, key_file)
    asked = {
        "policyId": f"{server.home}/replicationPolicies/{policy}",
        "providerSpecificInput": {"instanceType": KIND, "bascule": ours},
    }
    made = server.begin(f"{_GROUP}.create", site, site, name, {"properties": asked})
    Screen(is_json=is_json).show(made.value, [f"Group {name} is set."])


@app.command("ls")
def list_mappings(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List the protection groups of a vault.

    \b
    Example:
      bascule mapping ls
    """
    server = server_of(context, profile, vault)
    hosts = {one["id"]: text(properties(one)["friendlyName"]) for one in finding.hosts(server)}

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        ours = said["providerSpecificDetails"].get("bascule") or {}
        site, to = (
            text(said["sourceFabricFriendlyName"]),
            hosts.get(ours.get("recoveryServicesProviderId"), ""),
        )
        return text(one["name"]), site, text(said["policyFriendlyName"]), to, text(ours.get("store"))

    listed(server.all(f"{_GROUP}.list"), ("GROUP", "SITE", "POLICY", "TO", "STORE"), row, is_json=is_json)


@app.command()
def remove(
    *,
    context: typer.Context,
    name: Name,
    site: Annotated[
        str, typer.Option("--site", metavar="SITE", help="Where its machines are.", show_default=False)
    ],
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Remove a protection group without machines.

    \b
    Example:
      bascule mapping remove shops --site paris
    """
    server_of(context, profile, vault).begin(f"{_GROUP}.delete", site, site, name, {"properties": {}})
    Screen(is_json=is_json).show({"name": name}, [f"Removed group {name}."])
