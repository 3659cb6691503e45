"""``bascule replica shape``: what machines are to be once they are recovered here, said and shown before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.printing.tables import table
from bascule.front.cli.words.options import Host, Json, KeyFilePath, PassphrasePath, Store
from bascule.model.machines import MachineDefinition, Nic, mac_of, uuid_of, written

from .asking import RECOVERED, Words, asked_from, saying
from .words import Folder, Group, Where, site_of

if TYPE_CHECKING:
    from bascule.recovery.shapes.asked import Asked
    from bascule.recovery.site import Site

Become = dict[str, MachineDefinition]

_HEAD = ("WHEN", "MACHINE", "CALLED", "CPUS>", "MEMORY>", "CARDS")


@saying(*RECOVERED)
def shape(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    said: Words,
    for_test: Annotated[
        bool,
        typer.Option("--for-test", help="Say it of the copies of a test failover, not of a failover."),
    ] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget first what was kept; with --for-test, only for tests.")
    ] = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Say what the machines of a group are to be when they are recovered on this host, and show it.

    Without options it only shows what they would be. What is said is kept in --folder for every later
    failover and test of the group, one thing on top of the other, until --clear; what is said with
    `fail-over` or `test` itself comes before it. What this host cannot have is refused now, and not when it
    is needed.

    A recovered machine keeps the UUID that its guest sees, whatever it is called here, and a card its MAC. So
    what is licensed by that number goes on, and a DHCP server that knows the MAC goes on giving the guest its
    address; the table shows the MACs, so that a DHCP server of this site can be told of them before. Copies
    for a test get new ones, and their cables hang loose, unless something else is said here.

    With --address a guest that asks for a lease gets that address: in a network of kind user or isolated of a
    QEMU host, and in a network of libvirt's with DHCP, where it is reserved while the machine is defined.
    Elsewhere somebody else's server decides. A guest with a fixed address keeps it wherever it is, for nobody
    looks into the guest: choose a network here in which that address is right. A network of kind user becomes
    one with --address: its gateway is the first address of the network.

    \b
    Examples:
      bascule replica shape /srv/points shop --host /srv/vm
      bascule replica shape /srv/points shop --cpus db=8 --memory db=16G --network lan=dmz --name db=db-2
      bascule replica shape /srv/points shop --card web/net1=backup --mac web/net1=new
      bascule replica shape /srv/points shop --for-test --card web/net0=isolated --memory 1G
      bascule replica shape /srv/points shop --for-test --card db/net0=user --address db/net0=10.1.2.9/24
      bascule replica shape /srv/points shop --clear
    """
    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    asked = asked_from(said)
    with site_of(context, where, screen) as site:
        failover, test = _shaped(site, group, asked, for_test=for_test, clear=clear)
    document = {
        "group": group,
        "failover": [_document(*found) for found in failover.items()],
        "test": [_document(*found) for found in test.items()],
    }
    rows = [*_rows("failover", failover), *_rows("test", test)]
    screen.show(document, table(_HEAD, rows))


def _shaped(site: Site, group: str, asked: Asked, *, for_test: bool, clear: bool) -> tuple[Become, Become]:
    """Keep what is asked, if anything is; return what machines become in a failover and in a test."""
    from bascule.recovery.pedigree import current
    from bascule.recovery.shapes.asked import NOTHING
    from bascule.recovery.shapes.kept import forgotten, keep, kept, with_more
    from bascule.recovery.shapes.shape import refuse_unknown
    from bascule.recovery.site import refuse_unfit

    log = current(site.vault, group)
    before = forgotten(site.records, group, for_test=for_test) if clear else kept(site.records, group)
    wanted = with_more(before, asked, for_test=for_test)
    with site.vault.peek(log) as point:
        refuse_unknown(asked, point.info.machines)
        failover, test = (
            {machine.id: shape.of(machine) for machine in point.info.machines}
            for shape in (wanted.shape(NOTHING), wanted.test_shape(NOTHING))
        )
    if asked != NOTHING:
        refuse_unfit(site, list((test if for_test else failover).values()))
    if clear or asked != NOTHING:
        keep(site.records, group, wanted)
    return failover, test


def _document(machine: str, definition: MachineDefinition) -> dict[str, object]:
    hardware = json.loads(written(definition))["hardware"]
    cards = [
        {**card, "mac": _mac(definition, nic)}
        for card, nic in zip(hardware["nics"], definition.hardware.nics, strict=True)
    ]
    return {
        "machine": machine,
        "name": definition.name,
        "cpus": hardware["cpus"],
        "memory_mib": hardware["memory_mib"],
        "uuid": definition.hardware.uuid or uuid_of(definition.name),
        "cards": cards,
    }


def _rows(when: str, become: Become) -> Iterator[Sequence[str]]:
    for machine, definition in become.items():
        hardware = definition.hardware
        yield (
            when,
            machine,
            definition.name,
            str(hardware.cpus),
            f"{hardware.memory_mib} MiB",
            cards_text(definition),
        )


def cards_text(definition: MachineDefinition) -> str:
    """Say into what the cards of a machine are plugged, and what their addresses are."""
    cards = (
        f"{nic.id}={nic.network or '-'} {_mac(definition, nic)} {nic.address}".rstrip()
        for nic in definition.hardware.nics
    )
    return ", ".join(cards) or "-"


def _mac(definition: MachineDefinition, nic: Nic) -> str:
    return nic.mac or mac_of(definition.name, nic.id)
