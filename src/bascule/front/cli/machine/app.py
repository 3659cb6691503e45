"""``bascule machine``: see, start and end the machines of a host. Nothing ever starts by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.tools import Tools
from bascule.front.cli.words.belonging import must_be_here, take_back
from bascule.front.cli.words.options import Host, Json, MachineName, host_of, tools_of
from bascule.front.cli.words.quantities import seconds_from
from bascule.model.errors import BasculeError, Damaged, Refused, Unavailable
from bascule.model.machines import DiskPlace, Power
from bascule.ports.hypervisors import Hypervisor

from .define import define
from .documents import machine_document, machine_lines, machines_table
from .guarding import guard, may_start

app = typer.Typer(
    name="machine",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See, define, start and end the machines of a host.",
)


@app.command("list")
def list_machines(context: typer.Context, host: Host = "", is_json: Json = False) -> None:
    """List the machines of a host, and which of them run.

    \b
    Example:
      bascule machine list --host /srv/vm
    """
    opened = host_of(context, host)
    found, problems = [], []
    for name in opened.machines():
        try:
            found.append((opened.definition(name), opened.power(name)))
        except (Unavailable, Damaged) as error:  # the others are there to be listed
            problems.append({"name": name, "message": error.message, "cure": error.cure})
    documents = [machine_document(definition, power) for definition, power in found]
    lines = [*machines_table(found), *(f"{problem['name']}: {problem['message']}" for problem in problems)]
    Screen(is_json=is_json).show({"machines": documents, "problems": problems}, lines)


@app.command()
def show(context: typer.Context, name: MachineName, host: Host = "", is_json: Json = False) -> None:
    """Show what a machine is made of, and whether it runs.

    \b
    Example:
      bascule machine show web --host /srv/vm --json
    """
    opened = host_of(context, host)
    definition, power = opened.definition(name), opened.power(name)
    Screen(is_json=is_json).show(machine_document(definition, power), machine_lines(definition, power))


@app.command()
def networks(context: typer.Context, host: Host = "", is_json: Json = False) -> None:
    """List what the cards of machines may be plugged into.

    A host of QEMU machines has `user` (out through the host) and `isolated` (each other and nothing else)
    until the file networks.json in its folder says what else there is.

    \b
    Example:
      bascule machine networks --host /srv/vm
    """
    names = host_of(context, host).networks()
    Screen(is_json=is_json).show({"networks": list(names)}, names)


app.command()(define)
app.command()(guard)
app.command("may-start", hidden=True)(may_start)


@app.command()
def start(
    context: typer.Context,
    name: MachineName,
    host: Host = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Start it though its group went to another side, or cannot be asked. Two may run then.",
        ),
    ] = False,
    is_json: Json = False,
) -> None:
    """Start a machine, and return when it runs. One that runs already is left alone.

    A machine that stands still because a disk did not answer goes on. One that is replicated, or was taken
    over, starts only where the store says that it is at home: it is asked first, and stays down if its
    group went over to another side, was handed over, or if the store does not answer.

    \b
    Examples:
      bascule machine start web --host /srv/vm
      bascule machine start web --host /srv/vm --force
    """
    opened, tools = host_of(context, host), tools_of(context)
    if opened.power(name) is not Power.RUNNING:
        _ask_first(tools, opened, name, Screen(is_json=is_json) if force else None)
    opened.start(name)
    _show_power(opened, name, is_json=is_json)


def _ask_first(tools: Tools, host: Hypervisor, name: str, forced: Screen | None) -> None:
    """Let a machine start only where it belongs; ``forced`` is told why it should not."""
    try:
        must_be_here(tools, host, name)
    except BasculeError as error:
        if forced is None:
            raise
        forced.note(f"warning: {error.message}; started nevertheless")
        with suppress(BasculeError):
            take_back(tools, host, name)


@app.command()
def stop(
    context: typer.Context,
    name: MachineName,
    host: Host = "",
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="How long to wait for the guest: 30s, 5m.")
    ] = "5m",
    is_json: Json = False,
) -> None:
    """Ask a machine's guest to power off, and wait until it did.

    If it does not, the exit code is 3 and the machine runs on: ask again, or end it with `kill`.

    \b
    Example:
      bascule machine stop web --host /srv/vm --within 2m
    """
    opened = host_of(context, host)
    opened.shut_down(name, seconds_from(within))
    _show_power(opened, name, is_json=is_json)


@app.command()
def kill(context: typer.Context, name: MachineName, host: Host = "", is_json: Json = False) -> None:
    """Cut a machine's power. What its guest had not written to disk is lost.

    \b
    Example:
      bascule machine kill web --host /srv/vm
    """
    opened = host_of(context, host)
    opened.cut_power(name)
    _show_power(opened, name, is_json=is_json)


def _show_power(host: Hypervisor, name: str, *, is_json: bool) -> None:
    power = host.power(name).value
    Screen(is_json=is_json).show({"name": name, "power": power}, [f"{name} is {power}."])


@app.command()
def remove(
    context: typer.Context,
    name: MachineName,
    host: Host = "",
    with_disks: Annotated[
        bool, typer.Option("--disks", help="Remove the images too that this host made places for.")
    ] = False,
    is_json: Json = False,
) -> None:
    """Remove a machine that is off. Its disks stay, unless --disks is given.

    \b
    Example:
      bascule machine remove web --host /srv/vm
    """
    opened = host_of(context, host)
    disks = opened.definition(name).disks if name in opened.machines() else ()
    opened.forget(name)
    gone = [disk.words for disk in disks if with_disks and _is_removed(opened, disk)]
    stay = [disk.words for disk in disks if disk.words not in gone]
    Screen(is_json=is_json).show(
        {"removed": name, "disks_removed": gone, "disks_left": stay},
        [f"Removed {name}.", *(f"Removed {words}." for words in gone), *(f"Left {words}." for words in stay)],
    )


def _is_removed(host: Hypervisor, disk: DiskPlace) -> bool:
    try:
        host.remove_disk(disk)
    except Refused:
        return False  # somebody brought it, or another machine has it
    return True


@app.command()
def console(context: typer.Context, name: MachineName, host: Host = "", is_json: Json = False) -> None:
    """Print what a machine's serial console said since its last start.

    \b
    Example:
      bascule machine console web --host /srv/vm
    """
    said = host_of(context, host).console(name)
    Screen(is_json=is_json).show({"name": name, "console": said}, said.splitlines())


@app.command()
def screenshot(
    context: typer.Context,
    name: MachineName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The PNG to write.", show_default=False)],
    host: Host = "",
    is_json: Json = False,
) -> None:
    """Write what a running machine's screen shows into a file.

    \b
    Example:
      bascule machine screenshot web web.png --host /srv/vm
    """
    picture = host_of(context, host).screenshot(name)
    try:
        file.write_bytes(picture)
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}", cure="name another file") from error
    Screen(is_json=is_json).show({"file": str(file), "bytes": len(picture)}, [f"Wrote {file}."])
