"""``bascule item protect``, ``resync``, ``unprotect``: where protection begins, is mended and ends."""

from __future__ import annotations

from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote import finding
from bascule.front.cli.remote.options import KIND, Profile, Vault, server_of
from bascule.front.cli.remote.waiting import Wait, end_of, finish
from bascule.front.cli.words.agreeing import Yes
from bascule.front.cli.words.options import Json

from .words import Item, Order, until_protected

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)]
Source = Annotated[
    str, typer.Option("--from", metavar="HOST", help="The host that it runs on.", show_default=False)
]
Recovery = Annotated[
    str,
    typer.Option(
        "--to", metavar="HOST", help="The host that takes it over. [as its site leads to]", show_default=False
    ),
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Where its points go, as both hosts call it. [as its site leads to]",
        show_default=False,
    ),
]
KeyFile = Annotated[
    str,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="The store's key, as both hosts call it. [as its site leads to]",
        show_default=False,
    ),
]
Policy = Annotated[str, typer.Option("--policy", metavar="POLICY", help="Its policy.", show_default=False)]
Machine = Annotated[
    str,
    typer.Option(
        "--machine",
        metavar="MACHINE",
        help="What that host calls it, whole or behind the #: see `bascule site machines`. [NAME]",
        show_default=False,
    ),
]


def protect(
    *,
    context: typer.Context,
    name: Name,
    source: Source,
    policy: Policy,
    recovery: Recovery = "",
    store: Store = "",
    key_file: KeyFile = "",
    machine: Machine = "",
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Begin to protect a machine: a job checks both sides and relates them, and the first copy starts.

    With --wait it ends when the machine is protected: when its first copy is complete. What is not said of
    the other side is as `bascule site leads` has it.

    \b
    Examples:
      bascule item protect web --from one --policy daily --wait
      bascule item protect web --from one --to two --policy daily
        --store s3://bucket/points --key-file /etc/bascule/main.key
    """
    server, screen = server_of(context, profile, vault), Screen(is_json=is_json)
    on = finding.host(server, source)
    fabric = finding.fabric_of(on)
    ours = finding.target(server, recovery, store, key_file)
    if not recovery and not finding.has_group(server, fabric, policy):
        ours = finding.settings_of(server, fabric) | ours
    asked = {
        "policyId": f"{server.home}/replicationPolicies/{policy}",
        "protectableItemId": finding.machine(server, on, machine or name)["id"],
        "providerSpecificDetails": {"instanceType": KIND, "bascule": ours},
    }
    begun = server.begin("replication_protected_items.create", fabric, fabric, name, {"properties": asked})
    said = f"Protecting {name}, from {source}{f' to {recovery}' if recovery else ''}"
    if not wait:
        finish(server, screen, begun, said, wait=False)
        return
    screen.note(f"{said}: job {begun.job}.")
    end_of(server, screen, begun.job)
    found = until_protected(server, screen, finding.Place(fabric, fabric, name))
    screen.show(found, [f"{name} is protected."])


def resync(
    *,
    context: typer.Context,
    name: Item,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """Compare an item's disks with its points, and send what differs.

    \b
    Example:
      bascule item resync web --wait
    """
    told = Order(context, name, vault, profile, wait, is_json).open()
    told.give("repair_replication", f"Resynchronising {name}")


def unprotect(
    *,
    context: typer.Context,
    name: Item,
    is_gone: Annotated[
        bool, typer.Option("--source-is-gone", help="Its host does not answer any more, and never will.")
    ] = False,
    yes: Yes = False,
    vault: Vault = "",
    profile: Profile = "",
    wait: Wait = False,
    is_json: Json = False,
) -> None:
    """End the protection of a machine, with all that it left on both sides. The machine itself stays.

    \b
    Examples:
      bascule item unprotect web --wait
      bascule item unprotect web --source-is-gone
    """
    told = Order(context, name, vault, profile, wait, is_json, yes).open()
    told.agree(f"{name}: not protected any more; the machine stays as it is, and nothing follows it.")
    if is_gone:
        told.give("purge", f"Ending the protection of {name} without its host")
        return
    told.give("delete", f"Ending the protection of {name}", {"properties": {}})


COMMANDS = (protect, resync, unprotect)
