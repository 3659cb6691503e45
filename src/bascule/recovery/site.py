"""What a host needs to take machines over, and what it does with them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.store import MachineInfo, PointInfo, Vault
from bascule.model.belonging import Belonging, written
from bascule.model.errors import Refused
from bascule.model.machines import DiskPlace, MachineDefinition, Power
from bascule.ports.chance import Ids
from bascule.ports.hypervisors import Hypervisor
from bascule.ports.images import Images
from bascule.ports.serving import Served, Serving

from .record import Member, Record, Records, Say
from .shapes.shape import Shape, refuse_unknown


@dataclass(frozen=True, slots=True)
class Site:
    """A host that machines come to, and the store they come from."""

    vault: Vault
    hypervisor: Hypervisor
    serving: Serving
    images: Images
    conduct: Callable[[], Conduct]
    records: Records
    ids: Ids
    who: str
    say: Say
    belonging: Belonging | None = None
    """Where the store is and what opens it, as machines here are told that they belong to it."""


def members_at(site: Site, record: Record, point: PointInfo, shape: Shape) -> tuple[Member, ...]:
    """Return what the machines of a point are to be on this host, or refuse what it cannot have."""
    refuse_unknown(shape.asked, point.machines)
    members = tuple(Member(found.id, _placed(site, record, found, shape)) for found in point.machines)
    names = [member.definition.name for member in members]
    if taken := sorted(set(names) & set(site.hypervisor.machines())):
        raise Refused(
            f"this host has a machine called {taken[0]} already",
            cure=f"give the recovered one another name: --name {taken[0]}=OTHER",
        )
    refuse_unfit(site, [member.definition for member in members])
    return members


def refuse_unfit(site: Site, definitions: Sequence[MachineDefinition]) -> None:
    """Refuse machines that cannot be on this host beside each other."""
    names = [definition.name for definition in definitions]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"two machines cannot both be called {twice}", cure="name them with --name")
    networks = set(site.hypervisor.networks())
    for definition in definitions:
        for nic in definition.hardware.nics:
            if nic.network and nic.network not in networks:
                raise Refused(
                    f"{definition.name} is plugged into {nic.network}, which this host does not have",
                    cure=f"plug it into another, with --network or --card: {', '.join(sorted(networks))}",
                )
        site.hypervisor.fits(definition)


def _placed(site: Site, record: Record, machine: MachineInfo, shape: Shape) -> MachineDefinition:
    folder = site.records.served(record, machine.id)
    disks = tuple(DiskPlace(d.id, site.serving.words(folder, d.id), "raw") for d in machine.disks)
    return replace(shape.of(machine), disks=disks)


def serve(site: Site, record: Record) -> None:
    """See that the disks of every machine of a record are served."""
    for member in record.members:
        folder = site.records.served(record, member.machine)
        if not site.serving.is_up(folder):
            site.say(f"serving the disks of {member.definition.name} from {record.group}/{record.number}")
        site.serving.start(Served(folder, record.group, record.number, member.machine, record.hydrate))


def start(site: Site, record: Record) -> None:
    """See that every machine of a record is defined and was started."""
    for member in record.members:
        site.hypervisor.define(member.definition)
        if site.belonging and record.log:
            belonging = replace(site.belonging, group=record.log)
            site.hypervisor.mark(member.definition.name, written(belonging))
        site.say(f"starting {member.definition.name}")
        site.hypervisor.start(member.definition.name)


def is_off(site: Site, record: Record) -> bool:
    """Tell whether a machine of a record is off, or not there: the host may have been down since."""
    known = set(site.hypervisor.machines())
    names = [member.definition.name for member in record.members]
    return any(name not in known or site.hypervisor.power(name) is Power.OFF for name in names)


def take_away(site: Site, record: Record) -> None:
    """See that nothing is left of the machines of a record: no power, no definition, no disk."""
    known = set(site.hypervisor.machines())
    for member in record.members:
        name = member.definition.name
        if name in known:
            site.say(f"removing {name}")
            site.hypervisor.cut_power(name)
            site.hypervisor.forget(name)
        site.serving.throw_away(site.records.served(record, member.machine))
