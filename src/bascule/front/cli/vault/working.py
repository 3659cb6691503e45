"""Items, their commands and jobs: the everyday part of ``bascule vault``."""

from __future__ import annotations

from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen, say
from bascule.front.cli.words.options import Json

from .calling import call
from .words import Folder, ItemId, JobName, VaultName, at, listed


def protect(
    *,
    folder: Folder,
    vault: VaultName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="HOST", help="The host that it runs on: its name or id.", show_default=False
        ),
    ],
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            metavar="MACHINE",
            help="What that host calls it: see `machines`.",
            show_default=False,
        ),
    ],
    recovery: Annotated[
        str,
        typer.Option(
            "--to", metavar="HOST", help="The host that takes it over: its name or id.", show_default=False
        ),
    ],
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="STORE", help="Where its points go, as both hosts call it.", show_default=False
        ),
    ],
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file", metavar="FILE", help="The store's key, as both hosts call it.", show_default=False
        ),
    ],
    policy: Annotated[str, typer.Option("--policy", metavar="NAME", help="Its policy.", show_default=False)],
    is_json: Json = False,
) -> None:
    """Begin to protect a machine: a job checks both sides, relates them, and starts the first copy.

    \b
    Example:
      bascule vault protect /srv/vaults north web --from host-one --machine web --to host-two
        --store s3://bucket/points --key-file /etc/bascule/main.key --policy daily
    """
    route = {"source": source, "machine": machine, "recovery": recovery, "store": store, "key_file": key_file}
    job = call(folder, "items.enable", vault=vault, name=name, **route, policy=policy)
    Screen(is_json=is_json).show({"job": job}, [f"Job {job['id']} protects {name} as {job['item']}."])


def items(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """List a vault's items and where they stand.

    \b
    Example:
      bascule vault items /srv/vaults north
    """
    listed(
        folder,
        "items.list",
        ("ITEM", "NAME", "PROTECTION", "ACTIVE SIDE", "TEST", "POINT"),
        lambda one: (one["id"], one["name"], one["protection"], one["side"], one["test"], one["point"]),
        is_json=is_json,
        vault=vault,
    )


def points(folder: Folder, vault: VaultName, item: ItemId, is_json: Json = False) -> None:
    """List an item's recovery points, as the host has them that would start it.

    \b
    Example:
      bascule vault points /srv/vaults north web
    """
    listed(
        folder,
        "items.points",
        ("POINT", "CAPTURED", "CONSISTENCY"),
        lambda one: (one["name"], at(one["captured_at"]), one["consistency"]),
        is_json=is_json,
        vault=vault,
        item=item,
    )


def do(
    *,
    folder: Folder,
    vault: VaultName,
    item: ItemId,
    command: Annotated[
        str,
        typer.Argument(
            metavar="COMMAND",
            help="failover, commit, test failover, test clean-up, disable and so on.",
            show_default=False,
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE", help="What it needs to know; may be repeated."),
    ] = None,
    is_json: Json = False,
) -> None:
    """Give an item a command. It is refused at once, or becomes a job that ends whatever happens.

    \b
    Examples:
      bascule vault do /srv/vaults north web 'test failover'
      bascule vault do /srv/vaults north web failover --with point=web-1f…/12
      bascule vault do /srv/vaults north web disable --with source_is_gone=yes
    """
    given = dict(one.partition("=")[::2] for one in words or ())
    job = call(folder, "items.command", vault=vault, item=item, command=command, input=given)
    Screen(is_json=is_json).show({"job": job}, [f"Job {job['id']} is the {command} of {item}."])


def jobs(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """List a vault's jobs, the newest first.

    \b
    Example:
      bascule vault jobs /srv/vaults north
    """
    listed(
        folder,
        "jobs.list",
        ("JOB", "ITEM", "COMMAND", "STATE", "BEGAN", "ENDED", "BY"),
        lambda one: (
            one["id"],
            one["item"],
            one["command"],
            one["state"],
            at(one["created"]),
            at(one["ended"]),
            one["by"],
        ),
        is_json=is_json,
        vault=vault,
    )


def job(folder: Folder, vault: VaultName, job: JobName, is_json: Json = False) -> None:
    """Show a job: its tasks, what went wrong and what to do.

    \b
    Example:
      bascule vault job /srv/vaults north 5d1e…
    """
    found = call(folder, "jobs.get", vault=vault, job=job)
    lines = [f"{found['command']} of {found['item']}: {found['state']}"]
    for task in found["tasks"]:
        lines.append(f"  {task['name']}: {task['state']}")
    if found["question"]:
        lines.append(f"It asks: {found['question']}")
    if found["failure"]:
        lines.append(f"{found['failure']['message']} ({found['failure']['cure']})")
    Screen(is_json=is_json).show({"job": found}, lines)


def steer(
    *,
    folder: Folder,
    vault: VaultName,
    job: JobName,
    act: Annotated[str, typer.Argument(metavar="ACT", help="cancel, resume or restart.", show_default=False)],
    answer: Annotated[
        str, typer.Option("--answer", metavar="TEXT", help="The answer to what it asks.", show_default=False)
    ] = "",
    is_json: Json = False,
) -> None:
    """Cancel a job, let one go on that asks something, or one that failed from the step that failed.

    \b
    Example:
      bascule vault steer /srv/vaults north 5d1e… restart
    """
    found = call(folder, "jobs.act", vault=vault, job=job, act=act, answer=answer)
    Screen(is_json=is_json).show({"job": found}, [f"Job {job} is {found['state']}."])


def export(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """Print a vault's jobs as CSV, one line for each task; or with all that is known of them as JSON.

    \b
    Example:
      bascule vault export /srv/vaults north > jobs.csv
    """
    form = "json" if is_json else "csv"
    say(str(call(folder, "jobs.export", vault=vault, form=form)).rstrip("\n"))


def health(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """Show what is wrong in a vault, and what to do.

    \b
    Example:
      bascule vault health /srv/vaults north
    """
    listed(
        folder,
        "signs.conditions",
        ("SUBJECT", "HEALTH", "CODE", "SINCE", "WHAT", "WHAT TO DO"),
        lambda one: (
            one["subject"],
            one["health"],
            one["code"],
            at(one["since"]),
            one["message"],
            one["cure"],
        ),
        is_json=is_json,
        vault=vault,
    )


def events(folder: Folder, vault: VaultName, is_json: Json = False) -> None:
    """List a vault's events, the newest first.

    \b
    Example:
      bascule vault events /srv/vaults north
    """
    listed(
        folder,
        "signs.events",
        ("AT", "SUBJECT", "HEALTH", "CODE", "WHAT"),
        lambda one: (at(one["at"]), one["subject"], one["health"], one["code"], one["message"]),
        is_json=is_json,
        vault=vault,
    )


def alerts(
    *,
    folder: Folder,
    vault: VaultName,
    mailboxes: Annotated[
        list[str] | None,
        typer.Option("--mail", metavar="NAME@HOST", help="A mailbox; may be repeated.", show_default=False),
    ] = None,
    hook: Annotated[
        str,
        typer.Option("--hook", metavar="URL", help="Where events are posted to as JSON.", show_default=False),
    ] = "",
    least: Annotated[
        str, typer.Option("--least", metavar="HEALTH", help="From what on: warning or critical.")
    ] = "critical",
    nobody: Annotated[bool, typer.Option("--nobody", help="Tell nobody any more.")] = False,
    is_json: Json = False,
) -> None:
    """Say who is told of a vault's events, in place of who was; or, without options, show who is.

    Mail needs a relay: see `bascule serve --help`.

    \b
    Example:
      bascule vault alerts /srv/vaults north --mail anna@example.org --least warning
    """
    if mailboxes or hook or nobody:
        told = {"mailboxes": mailboxes or [], "hook": hook, "least": least}
        call(folder, "signs.set_alerts", vault=vault, **told)
    found = call(folder, "signs.alerts", vault=vault)
    names = [*found["mailboxes"], *([found["hook"]] if found["hook"] else [])]
    lines = [f"Told of what is {found['least']}: {', '.join(names) or 'nobody'}."]
    Screen(is_json=is_json).show({"alerts": found}, lines)


COMMANDS = (protect, items, points, do, jobs, job, steer, export, health, events, alerts)
