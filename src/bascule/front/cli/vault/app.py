"""``bascule vault``: the vaults of a server, and what stands in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import pairs
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of
from bascule.front.cli.words.options import Json, tools_of
from bascule.model.vault.vault import GROUP

app = typer.Typer(
    name="vault",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Vaults of a server: places for sites, hosts, items and jobs, which see nothing of each other.",
)
Name = Annotated[str, typer.Argument(metavar="VAULT", help="The vault.", show_default=False)]


@app.command()
def create(
    *,
    context: typer.Context,
    name: Name,
    group: Annotated[
        str, typer.Option("--group", metavar="NAME", help="The resource group that it is in.")
    ] = GROUP,
    place: Annotated[
        str, typer.Option("--place", metavar="NAME", help="Where it is, for those who ask.")
    ] = "onpremises",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a vault, and mean it from now on. Only owners of the server may.

    \b
    Example:
      bascule vault create north
    """
    server = server_of(context, profile)
    made = server.make_vault(name, group, {"location": place})
    _mean(context, profile, name, group)
    Screen(is_json=is_json).show(made, [f"Made vault {name}, which is meant from now on."])


@app.command()
def remove(context: typer.Context, name: Name, profile: Profile = "", is_json: Json = False) -> None:
    """Remove a vault in which nothing is protected and no host is let in. Its record of deeds stays.

    \b
    Example:
      bascule vault remove north
    """
    server_of(context, profile).remove_vault(name)
    Screen(is_json=is_json).show({"name": name}, [f"Removed vault {name}."])


@app.command("ls")
def list_vaults(context: typer.Context, profile: Profile = "", is_json: Json = False) -> None:
    """List the vaults that you may see; a star marks the one that is meant.

    \b
    Example:
      bascule vault ls
    """
    server = server_of(context, profile)
    meant = server.profile.vault

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        return "*" if one["name"] == meant else "", one["name"], one.get("location") or ""

    listed(server.vaults(), ("", "VAULT", "PLACE"), row, is_json=is_json)


@app.command()
def use(context: typer.Context, name: Name, profile: Profile = "", is_json: Json = False) -> None:
    """Say which vault is meant when none is named.

    \b
    Example:
      bascule vault use north
    """
    server = server_of(context, profile, name)
    server.get("replication_vault_health.get")  # a vault that is not there is better refused now
    _mean(context, profile, name, server.group)
    Screen(is_json=is_json).show({"vault": name}, [f"Vault {name} is meant from now on."])


@app.command()
def show(context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False) -> None:
    """Show how a vault stands: how much is protected, what goes on, what is wrong and what to do.

    \b
    Example:
      bascule vault show
    """
    server = server_of(context, profile, vault)
    used = server.usages()
    health = properties(server.get("replication_vault_health.get"))
    lines = list(pairs(_figures(used)))
    lines += [f"{kind}  {message}" for kind, message in _wrong(health)] or ["Nothing is wrong."]
    Screen(is_json=is_json).show({"usages": used, "health": health}, lines)


def _figures(used: Mapping[str, Any]) -> list[tuple[str, str]]:
    jobs = used.get("jobsSummary") or {}
    return [
        ("items that are protected", str(used.get("protectedItemCount", 0))),
        ("hosts", str(used.get("registeredServersCount", 0))),
        ("jobs in progress", str(jobs.get("inProgressJobs", 0))),
        ("jobs that wait for somebody", str(jobs.get("suspendedJobs", 0))),
        ("jobs that failed", str(jobs.get("failedJobs", 0))),
    ]


def _wrong(health: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        (one["severity"], f"{', '.join(one['affectedResourceCorrelationIds'])}: {one['summaryMessage']}")
        for part in ("protectedItemsHealth", "fabricsHealth", "containersHealth")
        for one in (health.get(part) or {}).get("issues") or ()
    ]
    for one in health.get("vaultErrors") or ():
        found.append((one["errorLevel"], f"{one['summaryMessage']} ({one['recommendedAction']})"))
    return found


def _mean(context: typer.Context, profile: str, vault: str, group: str) -> None:
    from bascule.front.cli.remote.profiles import Profiles

    profiles = Profiles(tools_of(context).settings)
    profiles.use(profile or profiles.current, vault, group)
