"""``bascule item test``, ``fail-over``, ``commit`` and so on: what takes a machine to the other side."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bascule.front.cli.remote.options import KIND, Profile, Vault
from bascule.front.cli.remote.waiting import Wait
from bascule.front.cli.words.agreeing import Yes
from bascule.front.cli.words.options import Json

from .words import Item, Order

Point = Annotated[
    str,
    typer.Option(
        "--point",
        metavar="POINT",
        help="As of this recovery point: see `bascule point ls`. [the newest]",
        show_default=False,
    ),
]


def rehearse(
    *,
    context: typer.Context,
    name: Item,
    point: Point = "",
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Start a copy of a machine on the other side, cut off from the world, while replication goes on.

    \b
    Example:
      bascule item test web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json).open()
    body = _over(point) | {"networkType": "NoNetworkAttachAsInput"}
    told.give("test_failover", f"Testing {name} at {told.sides[1]}", {"properties": body})


def clean_up(
    *,
    context: typer.Context,
    name: Item,
    notes: Annotated[
        str, typer.Option("--notes", metavar="TEXT", help="What was found, for the record.")
    ] = "",
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Remove all of a test.

    \b
    Example:
      bascule item clean-up web --notes 'boots, and serves' --wait
    """
    told = Order(context, name, vault, profile, wait, is_json).open()
    told.give("test_failover_cleanup", f"Cleaning up the test of {name}", {"properties": {"comments": notes}})


def fail_over(
    *,
    context: typer.Context,
    name: Item,
    planned: Annotated[
        bool,
        typer.Option("--planned", help="Shut it down first and send its last changes, so nothing is lost."),
    ] = False,
    point: Point = "",
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Start a machine on the other side. The side that it leaves can publish nothing more.

    Commit it then, or change the point, or cancel.

    \b
    Examples:
      bascule item fail-over web --wait               (its host is lost)
      bascule item fail-over web --planned --wait     (its host is well)
      bascule item fail-over web --point web.12
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    here, there = told.sides
    if planned:
        told.agree(f"{name}: shut down at {here}, then started at {there} with all that it wrote.")
        told.give("planned_failover", f"Taking {name} over to {there} in order", {"properties": _over(point)})
        return
    age = f"as of {point}" if point else "as of its newest point"
    told.agree(
        f"{name}: from {here} over to {there}, {age}; what it wrote after that stays at {here},"
        " whose machine can publish nothing more."
    )
    told.give("unplanned_failover", f"Failing {name} over to {there}", {"properties": _over(point)})


def change_point(
    *,
    context: typer.Context,
    name: Item,
    point: Annotated[
        str, typer.Argument(metavar="POINT", help="See `bascule point ls`.", show_default=False)
    ],
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Start a machine that was failed over anew, at another point.

    \b
    Example:
      bascule item change-point web web.11 --wait
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    told.agree(f"{name}: started anew from {point} at {told.sides[1]}; what it wrote there is thrown away.")
    body = {
        "properties": {"recoveryPointId": _point(point), "providerSpecificDetails": {"instanceType": KIND}}
    }
    told.give("apply_recovery_point", f"Starting {name} anew from {point}", body)


def commit(
    *,
    context: typer.Context,
    name: Item,
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Let a failover stay, or a failback: then what worked on the other side is removed.

    \b
    Example:
      bascule item commit web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    home, away = told.sides
    stays = f"{name}: to stay at {home if told.is_home else away}, and not to be cancelled any more"
    if told.is_home:
        told.agree(f"{stays}; its machine and disks at {away} are removed, and its other points.")
    else:
        told.agree(f"{stays}; its other points are removed, and nothing of what is left at {home}.")
    told.give("failover_commit", f"Committing the failover of {name}")


def cancel(
    *,
    context: typer.Context,
    name: Item,
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Take a failover back that is not committed.

    \b
    Example:
      bascule item cancel web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    told.agree(f"{name}: removed where it was started, with all that it wrote there since.")
    told.give("failover_cancel", f"Cancelling the failover of {name}")


def _over(point: str) -> dict[str, Any]:
    details: dict[str, Any] = {"instanceType": KIND}
    if point:
        details["recoveryPointId"] = _point(point)
    return {"failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": details}


def _point(point: str) -> str:
    """Return a point as ids call it: what is ``shop/7`` on the hosts is ``shop.7`` there."""
    return point.replace("/", ".")


COMMANDS = (rehearse, clean_up, fail_over, change_point, commit, cancel)
