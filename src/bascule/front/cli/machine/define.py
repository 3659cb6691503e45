"""``bascule machine define``: a machine from options, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.options import Host, Json, host_of
from bascule.front.cli.words.quantities import bytes_from
from bascule.model.errors import Refused
from bascule.model.machines import (
    DirectBoot,
    DiskPlace,
    Firmware,
    Hardware,
    MachineDefinition,
    Nic,
    read,
)

from .documents import machine_document, machine_lines

_MIB = 1 << 20
_FORMAT = "?format="

Disks = Annotated[
    list[str] | None,
    typer.Option(
        "--disk",
        metavar="ID=PLACE",
        help="A disk: its name, and a path or the address of an NBD export. It is qcow2 where the path ends"
        " in .qcow2, else raw; ?format=FORMAT behind it says so. The first is booted from; may be repeated.",
        show_default=False,
    ),
]
Nics = Annotated[
    list[str] | None,
    typer.Option(
        "--nic",
        metavar="[ID=]NETWORK",
        help="A network card and what it is plugged into; may be repeated. [none]",
        show_default=False,
    ),
]
Kernel = Annotated[
    Path | None,
    typer.Option("--kernel", metavar="FILE", help="A kernel to boot instead of the first disk."),
]
Initrd = Annotated[
    Path | None, typer.Option("--initrd", metavar="FILE", help="The initial file system for --kernel.")
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Everything as JSON, as `show --json` has it under `definition`. [options]",
        show_default=False,
    ),
]


def define(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="How to call it.", show_default=False)],
    host: Host = "",
    cpus: Annotated[int, typer.Option("--cpus", metavar="N", help="Processors.")] = 1,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Memory.")] = "1G",
    disks: Disks = None,
    nics: Nics = None,
    firmware: Annotated[Firmware, typer.Option("--firmware", help="What it starts with.")] = Firmware.BIOS,
    kernel: Kernel = None,
    initrd: Initrd = None,
    append: Annotated[str, typer.Option("--append", metavar="WORDS", help="What --kernel is told.")] = "",
    file: File = None,
    is_json: Json = False,
) -> None:
    """Make a machine, or replace its definition whole.

    Nothing is started, and a machine that runs goes on as it is until its next start. To change one thing,
    print the definition, edit it and define it again: disks can be switched that way, all at once.

    \b
    Examples:
      bascule machine define web --host /srv/vm --memory 2G --disk disk0=/srv/web.qcow2 --nic user
      bascule machine define web --host /srv/vm --file web.json
    """
    if file is not None:
        definition = _from_file(file, name)
    else:
        boot = DirectBoot(_whole(kernel), _whole(initrd), append) if kernel else None
        cards = tuple(_nic(place, words) for place, words in enumerate(nics or ()))
        hardware = Hardware(cpus, bytes_from(memory) // _MIB, firmware, cards, boot)
        definition = MachineDefinition(name, hardware, tuple(disk_from(words) for words in disks or ()))
    opened = host_of(context, host)
    opened.define(definition)
    power = opened.power(name)
    Screen(is_json=is_json).show(machine_document(definition, power), machine_lines(definition, power))


def disk_from(words: str) -> DiskPlace:
    """Read ``ID=PLACE``, behind it perhaps ``?format=FORMAT``."""
    disk, has_place, place = words.partition("=")
    if not has_place or not place:
        raise Refused(f"{words!r} is no disk", cure="write its name and its place: disk0=/srv/web.qcow2")
    place, _, said = place.partition(_FORMAT)
    if place.startswith(("nbd:", "nbd+", "nbds:", "nbds+")):
        return DiskPlace(disk, place, said or "raw")
    return DiskPlace(disk, _whole(Path(place)), said or ("qcow2" if place.endswith(".qcow2") else "raw"))


def _nic(place: int, words: str) -> Nic:
    name, is_named, network = words.partition("=")
    return Nic(name, network) if is_named else Nic(f"net{place}", words)


def _whole(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def _from_file(file: Path, name: str) -> MachineDefinition:
    try:
        definition = read(file.read_bytes())
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}", cure="name a definition") from error
    if definition.name != name:
        raise Refused(
            f"{file} defines {definition.name!r}, not {name!r}", cure="change the name in it, or define that"
        )
    return definition
