"""Becoming the owner of a group: its next generation is begun, with the point that it goes on from."""

from __future__ import annotations

from collections.abc import Callable

from bascule.data.store import DiskSpec, MachineInfo, MachineSpec
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.machines import MachineDefinition
from bascule.model.notes import MachineNote, to_text

from .generations import begun_by
from .record import Phase, Record
from .site import Site

Noting = Callable[[MachineDefinition], MachineNote]
"""Says what the first point of a generation notes of a machine."""


def writer_of(site: Site, record: Record) -> str:
    """Return the name by which logs know what is written for a record."""
    return f"{record.kind.value} {record.token} by {site.who.rpartition(' (')[0] or site.who}"


def own(site: Site, record: Record) -> Record:
    """Begin the next generation, or find that an earlier try of ours did."""
    try:
        site.vault.branch(
            (record.group, record.number), record.log, writer=writer_of(site, record), urgent=True
        ).close()
    except (Refused, Exists):
        owner = begun_by(site.vault, record.log)
        if not owner:
            raise
        if owner != writer_of(site, record):
            raise Refused(
                f"{owner} has taken over {record.group} at the same time",
                cure=f"look what runs there; cancel this {record.kind.value} to clear up here",
            ) from None
    return site.records.advance(record, Phase.STARTING)


def publish(site: Site, record: Record, noting: Noting) -> None:
    """Publish the point that machines start from as the first of its new generation."""
    try:
        site.vault.peek(record.log).close()
        return
    except Missing:
        pass
    with site.vault.point(record.group, record.number, purpose=record.kind.value) as point:
        specs = [_spec(record, machine, noting) for machine in point.info.machines]
        with site.vault.begin(record.log, writer=writer_of(site, record), urgent=True) as writer:
            cut = writer.cut(specs, consistency=point.info.consistency, captured_at=point.info.captured_at)
            cut.publish()


def _spec(record: Record, machine: MachineInfo, noting: Noting) -> MachineSpec:
    (definition,) = [m.definition for m in record.members if m.machine == machine.id]
    disks = tuple(DiskSpec(disk.id, disk.size_bytes) for disk in machine.disks)
    return MachineSpec(machine.id, machine.name, disks, to_text(noting(definition)))
