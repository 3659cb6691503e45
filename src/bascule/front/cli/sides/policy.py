"""``bascule policy``: how often points are made, and how long they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote.options import KIND, Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json
from bascule.front.cli.words.quantities import seconds_from, seconds_text
from bascule.model.errors import Refused

app = typer.Typer(
    name="policy",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Policies of a vault: how often a recovery point is made, and how long it is kept.",
)
Name = Annotated[str, typer.Argument(metavar="POLICY", help="The policy.", show_default=False)]
_HOUR = 3600


@app.command("set")
def put(
    *,
    context: typer.Context,
    name: Name,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="How often a point is made.")] = "30s",
    keep: Annotated[
        str, typer.Option("--keep", metavar="TIME", help="How long points are kept, in whole hours.")
    ] = "24h",
    consistent_every: Annotated[
        str,
        typer.Option(
            "--consistent-every",
            metavar="TIME",
            help="How often a point is at rest, in whole hours; 0h never.",
        ),
    ] = "0h",
    first_copy_at: Annotated[
        str,
        typer.Option(
            "--first-copy-at",
            metavar="HH:MM",
            help="When first copies begin, by the server's clock; at once if it is not said.",
            show_default=False,
        ),
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a policy, or change it; whatever is protected by it follows, each machine by a job of its own.

    \b
    Example:
      bascule policy set daily --every 5m --keep 72h
    """
    told = {
        **{"instanceType": KIND, "replicationInterval": seconds_from(every)},
        "recoveryPointHistoryDuration": _hours("--keep", keep),
        "applicationConsistentSnapshotFrequencyInHours": _hours("--consistent-every", consistent_every),
        "onlineReplicationStartTime": first_copy_at,
    }
    server = server_of(context, profile, vault)
    made = server.begin("replication_policies.create", name, {"properties": {"providerSpecificInput": told}})
    Screen(is_json=is_json).show(made.value, [f"Policy {name} is set."])


@app.command("ls")
def list_policies(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List the policies of a vault.

    \b
    Example:
      bascule policy ls
    """
    found = server_of(context, profile, vault).all("replication_policies.list")

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)["providerSpecificDetails"]
        rest = said["applicationConsistentSnapshotFrequencyInHours"]
        every, kept = seconds_text(said["replicationInterval"]), said["recoveryPointHistoryDurationInHours"]
        return text(one["name"]), every, f"{kept} h", f"{rest} h" if rest else "never"

    listed(found, ("POLICY", "EVERY>", "KEPT>", "AT REST EVERY>"), row, is_json=is_json)


@app.command()
def remove(
    context: typer.Context, name: Name, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Remove a policy that nothing is protected by.

    \b
    Example:
      bascule policy remove daily
    """
    server_of(context, profile, vault).begin("replication_policies.delete", name)
    Screen(is_json=is_json).show({"name": name}, [f"Removed policy {name}."])


def _hours(option: str, span: str) -> int:
    seconds = seconds_from(span)
    if seconds % _HOUR:
        raise Refused(f"{option} {span} is not in whole hours", cure="write it like 24h or 3d")
    return seconds // _HOUR
