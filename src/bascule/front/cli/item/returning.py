"""``bascule item reprotect``, ``fail-back``: the way home."""

from __future__ import annotations

from typing import Annotated

import typer

from bascule.front.cli.remote.options import KIND, Profile, Vault
from bascule.front.cli.remote.waiting import Wait, end_of
from bascule.front.cli.words.agreeing import Yes
from bascule.front.cli.words.options import Json

from .words import Item, Order, until_protected


def reprotect(
    *,
    context: typer.Context,
    name: Item,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Replicate a machine from the side on which it works now; only what it wrote since is sent.

    \b
    Example:
      bascule item reprotect web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json).open()
    body = {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": {"instanceType": KIND}}
    said = f"Replicating {name} from where it runs"
    if not wait:
        told.give("reprotect", said, {"properties": body})
        return
    begun = told.begin("reprotect", {"properties": body})
    told.screen.note(f"{said}: job {begun.job}.")
    end_of(told.server, told.screen, begun.job)
    found = until_protected(told.server, told.screen, told.place)
    told.screen.show(found, [f"{name} is protected from there."])


def fail_back(
    *,
    context: typer.Context,
    name: Item,
    download: Annotated[
        bool,
        typer.Option("--download", help="Shut it down first and fetch all of it: for disks that are lost."),
    ] = False,
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Bring a machine home: beside its old disks new ones become level with it, then it changes over.

    The job waits before the machine is shut down over there. With --wait you are asked at a terminal, and
    with --yes, or in a script, it goes on; without, `bascule job resume` lets it. Commit it then, and
    reprotect, to be protected as in the beginning.

    \b
    Example:
      bascule item fail-back web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    here, there = told.sides

    def level() -> str:
        told.agree(f"{name}: the disks at {here} are level. Now shut down at {there}, and started at {here}.")
        return "yes"

    told.agree(f"{name}: home from {there} to {here}, with all that it wrote over there.")
    option = "ForDownTime" if download else "ForSynchronization"
    body = {
        "failoverDirection": "RecoveryToPrimary",
        "providerSpecificDetails": {"instanceType": f"{KIND}Failback", "dataSyncOption": option},
    }
    told.give("planned_failover", f"Bringing {name} home to {here}", {"properties": body}, level)


COMMANDS = (reprotect, fail_back)
