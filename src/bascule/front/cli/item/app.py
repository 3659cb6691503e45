"""``bascule item``: what a vault protects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import pairs
from bascule.front.cli.remote.options import Profile, Vault, listed, properties, server_of, text
from bascule.front.cli.words.options import Json

from . import moving, protecting, returning
from .words import Item

app = typer.Typer(
    name="item",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Protected machines of a vault: protect, test, fail over, commit, come home.",
)


@app.command("ls")
def list_items(
    context: typer.Context, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """List what a vault protects, and where it stands.

    \b
    Example:
      bascule item ls
    """
    found = server_of(context, profile, vault).all("replication_protected_items.list")

    def row(one: Mapping[str, Any]) -> tuple[str, ...]:
        said = properties(one)
        test = text(said["testFailoverStateDescription"])
        return (
            text(one["name"]),
            _way(said),
            text(said["protectionStateDescription"]),
            text(said["activeLocation"]),
            "" if test == "None" else test,
            text(said["replicationHealth"]),
            text(said["policyFriendlyName"]),
        )

    heads = ("ITEM", "FROM > TO", "STATE", "ACTIVE", "TEST", "HEALTH", "POLICY")
    listed(found, heads, row, is_json=is_json)


@app.command()
def show(
    context: typer.Context, name: Item, vault: Vault = "", profile: Profile = "", is_json: Json = False
) -> None:
    """Show an item: where it stands, what goes on, what is wrong and what to do, what may be asked of it.

    \b
    Example:
      bascule item show web
    """
    from bascule.front.cli.remote import finding

    found = finding.item(server_of(context, profile, vault), name)[1]
    said = properties(found)
    scenario = said.get("currentScenario") or {}
    going = text(scenario.get("scenarioName"))
    fields = [
        ("state", text(said["protectionStateDescription"])),
        ("from > to", _way(said)),
        ("active", text(said["activeLocation"])),
        ("test", text(said["testFailoverStateDescription"])),
        ("policy", text(said["policyFriendlyName"])),
        (
            "goes on",
            "" if going == "None" else f"{going}, job {text(scenario.get('jobId')).rpartition('/')[2]}",
        ),
        ("may be asked", ", ".join(said.get("allowedOperations") or ())),
        ("health", text(said["replicationHealth"])),
    ]
    wrong = said.get("healthErrors") or ()
    lines = [*pairs(fields), *(f"  {one['summaryMessage']} ({one['recommendedAction']})" for one in wrong)]
    Screen(is_json=is_json).show(found, lines)


def _way(said: Mapping[str, Any]) -> str:
    return f"{text(said['primaryFabricFriendlyName'])} > {text(said['recoveryFabricFriendlyName'])}"


for command in (*protecting.COMMANDS, *moving.COMMANDS, *returning.COMMANDS):
    word = "test" if command is moving.rehearse else command.__name__
    app.command(word.replace("_", "-"))(command)
