"""``bascule provider``: the process that keeps a host's machines replicated, and what it needs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.front.cli.printing.screen import Document, Screen
from bascule.front.cli.stopping import on_stop, throttle_of, wait_for
from bascule.front.cli.tools import Tools
from bascule.front.cli.words.options import Json, Limit, Workers, tools_of
from bascule.model.errors import BasculeError

from . import joining
from .errands import cramped, verbs_of
from .lending import Lending
from .naming import FolderPath, provider_of

if TYPE_CHECKING:
    from bascule.model.vault.commands import Json as Said
    from bascule.replication.provider.folder import ProviderFolder
    from bascule.replication.provider.workshop import Workshop
    from bascule.replication.uplink.uplink import Uplink

app = typer.Typer(
    name="provider",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep the machines of this host replicated, with or without anything above it.",
)

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The provider's folder; made if it is absent.")
]


@app.command()
def run(
    context: typer.Context,
    *,
    folder: Folder,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=64, metavar="N", help="Machines replicated at one time.")
    ] = 4,
    workers: Workers = 2,
    limit: Limit = "",
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="FOLDER",
            help="The host of machines: what a vault may protect of it, and take machines over to. [none]",
            show_default=False,
        ),
    ] = "",
    replicas: Annotated[
        Path | None,
        typer.Option(
            "--replicas",
            metavar="FOLDER",
            help="Room for what these write. [replicas/ of the provider's folder]",
            show_default=False,
        ),
    ] = None,
    is_json: Json = False,
) -> None:
    """Keep the machines replicated that `bascule protect` names, until Ctrl-C or SIGTERM.

    The provider may be killed at any moment: the next one goes on where it was. Commands may be given while
    none runs; they are obeyed when one does. Joined to a vault (`bascule provider register`), it does what
    that has it do; with --host also tests of failover and failovers.

    \b
    Examples:
      bascule provider run /srv/provider
      bascule provider run /srv/provider --host /srv/vm
      bascule provider run /srv/provider --limit 50M,5M@mon-fri/08:00-18:00 --threads 8
    """
    from bascule.replication.provider.conductor import Conductor

    tools, screen = tools_of(context), Screen(is_json=is_json)
    stop = threading.Event()

    def ask() -> None:
        stop.set()
        screen.note("Stopping in order; once more stops at once.")

    shop = workshop(tools, threads=threads, workers=workers, limit=limit)
    with on_stop(ask):
        provider = provider_of(tools, folder)
        room = replicas or provider.path / "replicas"
        screen.event("running", *_greeting(tools, folder, room if host else None))
        uplink = _uplink(tools, provider, host, room)
        Conductor(provider, shop, uplink.run).run(partial(wait_for, stop))


def _uplink(tools: Tools, provider: ProviderFolder, host: str, room: Path) -> Uplink:
    from bascule.replication.uplink.errands import Headways
    from bascule.replication.uplink.uplink import Uplink

    headways = Headways()
    verbs = verbs_of(tools, provider, host, room, headways)
    uplink = Uplink(provider, tools.credentials, tools.clock, tools.ids, verbs=verbs)
    uplink.headways = headways
    uplink.machines = partial(_machines, tools, host) if host else None
    return uplink


def _greeting(tools: Tools, folder: Path, room: Path | None) -> tuple[Document, list[str]]:
    warning = cramped(tools, room) if room else ""
    lines = [f"The provider runs in {folder}.", *([warning] if warning else [])]
    return {"folder": str(folder), "warning": warning}, lines


def _machines(tools: Tools, host: str) -> Mapping[str, Said]:
    """Return the machines of a host and their disks; of one that is gone or broken by now, its name alone."""
    hypervisor, images = tools.open_hypervisor(host), tools.images()

    def disks(name: str) -> list[Said]:
        try:
            places = hypervisor.definition(name).disks
            return [{"id": one.id, "size_bytes": images.size_bytes(one)} for one in places]
        except BasculeError:
            return []

    return {f"{host}#{name}": disks(name) for name in hypervisor.machines()}


@app.command()
def check(context: typer.Context, folder: FolderPath = None, is_json: Json = False) -> None:
    """Look whether all that the protected groups need is there, and say what is not and what to do.

    \b
    Examples:
      bascule provider check --folder /srv/provider
    """
    from .checking import complaints, found_lines

    tools, screen = tools_of(context), Screen(is_json=is_json)
    provider = provider_of(tools, folder)
    is_idle = not provider.heartbeat().is_running
    wishes = [(item, wish) for item in provider.items() if (wish := item.wish()) is not None]
    all_found = [complaints(tools, item, wish, is_new=is_idle) for item, wish in wishes]
    document = {
        "groups": [
            {
                "group": found.group,
                "findings": [
                    {"rule": one.rule, "is_met": one.is_met, "message": one.message, "cure": one.cure}
                    for one in found.findings
                ],
            }
            for found in all_found
        ]
    }
    lines = [line for found in all_found for line in (f"{found.group}:", *found_lines(found))]
    screen.show(document, lines or ["Nothing is protected here."])
    for found in all_found:
        found.refuse()


def workshop(tools: Tools, *, threads: int = 1, workers: int = 2, limit: str = "") -> Workshop:
    """Return what a provider works with."""
    from bascule.replication.provider.workshop import Workshop

    return Workshop(
        tools.clock,
        Lending(tools).vault,
        tools.adopt,
        tools.definition,
        tools.open_source,
        tools.who,
        throttle_of(tools.clock, limit),
        workers,
        threads,
        agent=tools.agent,
        commands=tools.commands,
        throttle_of=partial(throttle_of, tools.clock),
    )


app.command()(joining.register)
app.command()(joining.status)
