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
from bascule.model.retention import Ladder

app = typer.Typer(
    name="policy",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Policies of a vault: how often a recovery point is made, and how long it is kept.",
)
Name = Annotated[str, typer.Argument(metavar="POLICY", help="The policy.", show_default=False)]
Retention = Annotated[
    str,
    typer.Option(
        "--retention",
        metavar="LADDER",
        help="Which points are kept as they age, instead of --keep: 2h:all,24h:1h,30d:1d.",
        show_default=False,
    ),
]
Rpo = Annotated[
    str,
    typer.Option(
        "--rpo",
        metavar="TIME",
        help="From which RPO on an item is in trouble, in whole minutes.",
        show_default=False,
    ),
]
_MINUTE, _HOUR = 60, 3600
_UNITS = {_MINUTE: "minutes", _HOUR: "hours"}


@app.command("set")
def put(
    *,
    context: typer.Context,
    name: Name,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="How often a point is made.", show_default=False)
    ] = "",
    keep: Annotated[
        str,
        typer.Option(
            "--keep", metavar="TIME", help="How long points are kept, in whole hours.", show_default=False
        ),
    ] = "",
    retention: Retention = "",
    rpo: Rpo = "",
    consistent_every: Annotated[
        str,
        typer.Option(
            "--consistent-every",
            metavar="TIME",
            help="How often a point is at rest, in whole hours; 0h never.",
            show_default=False,
        ),
    ] = "",
    first_copy_at: Annotated[
        str | None,
        typer.Option(
            "--first-copy-at",
            metavar="HH:MM",
            help="When first copies begin, by the server's clock; '' at once.",
            show_default=False,
        ),
    ] = None,
    vault: Vault = "",
    profile: Profile = "",
    is_json: Json = False,
) -> None:
    """Make a policy, or change what is named of it; whatever is protected by it follows, each by a job.

    A new one is what `bascule protect` says when nothing is said: a point every 30s, and of those
    2h:all,24h:5m,30d:1d are kept.

    \b
    Examples:
      bascule policy set daily --every 5m --keep 72h
      bascule policy set daily --retention 2h:all,24h:1h,30d:1d --rpo 15m
    """
    told = {**_ours(keep, retention, rpo), **_theirs(every, keep, consistent_every)}
    if first_copy_at is not None:
        told["onlineReplicationStartTime"] = first_copy_at
    told["instanceType"] = KIND
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
        every, ours = seconds_text(said["replicationInterval"]), said.get("bascule") or {}
        rpo = f"{ours.get('recoveryPointThresholdInMinutes', 0)} min"
        kept = text(ours.get("retention"))
        return text(one["name"]), every, kept, rpo, f"{rest} h" if rest else "never"

    listed(found, ("POLICY", "EVERY>", "KEPT", "RPO UP TO>", "AT REST EVERY>"), row, is_json=is_json)


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


def _theirs(every: str, keep: str, consistent_every: str) -> dict[str, object]:
    """Return what Azure has a word for, as far as it is named: the server keeps the rest as it was."""
    told: dict[str, object] = {}
    if every:
        told["replicationInterval"] = seconds_from(every)
    if keep:
        told["recoveryPointHistoryDuration"] = _whole("--keep", keep, _HOUR, "24h or 3d")
    if consistent_every:
        rest = _whole("--consistent-every", consistent_every, _HOUR, "1h or 12h")
        told["applicationConsistentSnapshotFrequencyInHours"] = rest
    return told


def _ours(keep: str, retention: str, rpo: str) -> dict[str, object]:
    """Return what Azure has no word for, as far as it is named."""
    if keep and retention:
        raise Refused(
            "--keep and --retention say the same thing", cure="give one; the last rung says how long"
        )
    told: dict[str, object] = {}
    if retention:
        Ladder.parse(retention)
        told["retention"] = retention
    if rpo:
        minutes = _whole("--rpo", rpo, _MINUTE, "15m or 1h")
        if not minutes:
            raise Refused("--rpo 0m: every item would always be in trouble", cure="write it like 15m or 1h")
        told["recoveryPointThresholdInMinutes"] = minutes
    return {"bascule": told} if told else {}


def _whole(option: str, span: str, unit: int, such: str) -> int:
    seconds = seconds_from(span)
    if seconds % unit:
        raise Refused(f"{option} {span} is not in whole {_UNITS[unit]}", cure=f"write it like {such}")
    return seconds // unit
