"""Fail over: machines start on this host, straight from the store; the other side is fenced (R-FO-2, 6, 7).

Order: the log of the source is fenced; then a point is chosen, so that nothing is published after it
that somebody would miss; then the next generation of the group is begun, which one host only can
do; then disks are served, machines defined and started. ``record`` says why a kill between any two of
these harms nothing.

The first point of the new generation is the chosen one, under its new owner. It notes where the changes that
the machines make here are told, so that they can be replicated back at once and by what they wrote.
"""

from __future__ import annotations

from dataclasses import replace

from bascule.model.errors import Refused
from bascule.model.machines import MachineDefinition
from bascule.model.notes import MachineNote

from .generations import abandon, begun_by, is_settled, lineage, refuse_if_left, refuse_unless_here
from .owning import own, publish, writer_of
from .record import Kind, Phase, Record, refuse_unless
from .settling import settle
from .shapes.shape import Shape
from .site import Site, is_off, members_at, serve, start, take_away

_DECIDED = "its machines go home by `bascule replica fail-back` on the other side"
_AHEAD = (Phase.FENCING, Phase.CHOSEN, Phase.STARTING)


def fail_over(
    site: Site, group: str, shape: Shape, number: int | None = None, *, hydrate: bool = True
) -> Record:
    """Start the machines of a group at a point, the newest if ``number`` is None; again, it goes on."""
    with site.records.alone(group, Kind.FAILOVER):
        record = _begun(site, group, number, hydrate=hydrate)
        if record.phase is Phase.FENCING:
            record = _chosen(site, record, shape, number)
        if record.phase is Phase.CHOSEN:
            record = own(site, record)
        if record.phase is Phase.STARTING or (record.phase is Phase.RUNNING and is_off(site, record)):
            refuse_unless_here(site.vault, record.log)
            serve(site, record)
            publish(site, record, _note)
            start(site, record)
            record = site.records.advance(record, Phase.RUNNING)
        return record


def _begun(site: Site, group: str, number: int | None, *, hydrate: bool) -> Record:
    record = site.records.find(group, Kind.FAILOVER)
    if record is None:
        refuse_if_left(site.vault, group)
        _refuse_if_here(site, group)
        token = site.ids.random(8).hex()
        return site.records.save(Record(Kind.FAILOVER, group, token, Phase.FENCING, hydrate=hydrate))
    refuse_unless(
        record, (*_AHEAD, Phase.RUNNING), "failover", "commit it or finish cancelling it, then ask again"
    )
    if number not in (None, record.number) and record.phase is not Phase.FENCING:
        raise Refused(
            f"{group} was failed over to point {record.number}",
            cure="`bascule replica change-point`, or `cancel` it",
        )
    return record


def _refuse_if_here(site: Site, log: str) -> None:
    """Refuse to take machines over from this host to itself: two of each would be here, and one is fenced."""
    record = site.records.that_began(log)
    if record is not None:
        since = f"{record.kind.value} of {record.group}"
        raise Refused(
            f"the machines of {log} are on this host already, since the {since}",
            cure="`bascule machine start`, if they are off; `bascule replica test`, to try a point",
        )


def _chosen(site: Site, record: Record, shape: Shape, number: int | None) -> Record:
    group = record.group
    with site.vault.peek(group, number) as point:
        members_at(
            site, record, point.info, shape
        )  # what this host cannot have is said before anything is done
    site.say(f"fencing {group}: whoever wrote it can publish nothing more")
    site.vault.begin(group, writer=writer_of(site, record), urgent=True).close()
    with site.vault.peek(group, number) as point:
        members = members_at(site, record, point.info, shape)
        log = lineage(site.vault, group).next
        record = replace(record, number=point.info.number, log=log, members=members, asked=shape.asked)
        return site.records.advance(record, Phase.CHOSEN)


def _note(definition: MachineDefinition) -> MachineNote:
    return MachineNote(definition, {}, {disk.id: f"{disk.words}&bitmap=written" for disk in definition.disks})


def bring_up(site: Site, group: str) -> Record:
    """Let the machines of a failover run again after their host was down; never if they left (R-FO-7)."""
    with site.records.alone(group, Kind.FAILOVER):
        record = site.records.known(group, Kind.FAILOVER)
        refuse_unless(
            record, (Phase.RUNNING, Phase.COMMITTED), "start", "ask for the failover again, or cancel it"
        )
        refuse_unless_here(site.vault, record.log)
        serve(site, record)
        start(site, record)
        return record


def commit(site: Site, group: str, *, keeps_points: bool = False) -> Record:
    """Let a failover stay; it cannot be cancelled any more, and the other points are removed (R-FO-3)."""
    with site.records.alone(group, Kind.FAILOVER):
        record = site.records.known(group, Kind.FAILOVER)
        refuse_unless(record, (Phase.RUNNING, Phase.COMMITTED), "commit", "finish the failover first")
        if record.phase is Phase.RUNNING:
            refuse_if_left(site.vault, record.log)
            record = site.records.advance(record, Phase.COMMITTED)
        settle(site, record, keeps_points=keeps_points)
        return record


def cancel(site: Site, group: str) -> None:
    """Take a failover back, with all that its machines wrote here (R-FO-5)."""
    with site.records.alone(group, Kind.FAILOVER):
        record = site.records.find(group, Kind.FAILOVER)
        if record is None:
            return
        refuse_unless(
            record,
            (*_AHEAD, Phase.RUNNING, Phase.CANCELLING),
            "cancel",
            "fail back to the other side instead",
        )
        site.records.remove(_taken_back(site, record))


def _taken_back(site: Site, record: Record) -> Record:
    """Remove all of a failover but its record."""
    if record.phase is Phase.STARTING or record.phase is Phase.RUNNING:
        refuse_if_left(site.vault, record.log)
    record = site.records.advance(record, Phase.CANCELLING)
    take_away(site, record)
    if record.log and begun_by(site.vault, record.log) == writer_of(site, record):
        abandon(site.vault, record.log, site.who)
    return record


def change_point(site: Site, group: str, shape: Shape, number: int | None = None) -> Record:
    """Start the machines of a failover that is not committed anew, from another point (R-RP-4).

    What was asked for the failover holds, where this time nothing else is asked. Its record becomes that of
    the new one in one step, so whenever it is killed there is one from which the same change again goes on.
    """
    with site.records.alone(group, Kind.FAILOVER):
        record = site.records.known(group, Kind.FAILOVER)
        refuse_unless(record, (*_AHEAD, Phase.RUNNING, Phase.CANCELLING), "other point", _DECIDED)
        site.vault.peek(group, number).close()
        asked, token = shape.asked.over(record.asked), site.ids.random(8).hex()
        hydrate = _taken_back(site, record).hydrate
        site.records.save(Record(Kind.FAILOVER, group, token, Phase.FENCING, hydrate=hydrate, asked=asked))
    return fail_over(site, group, replace(shape, layers=(asked, *shape.layers[1:])), number)


def release(site: Site, group: str) -> None:
    """Remove the machines of a failover whose group has changed sides again (R-HV-3)."""
    with site.records.alone(group, Kind.FAILOVER):
        record = site.records.find(group, Kind.FAILOVER)
        if record is None:
            return
        if record.phase is not Phase.CANCELLING:
            newest = lineage(site.vault, group).newest
            if newest in (record.log, group):
                raise Refused(f"the machines of {newest} belong to this side", cure="fail back first")
            if not is_settled(site.vault, record.log):
                raise Refused(
                    f"that {newest} goes on in the place of {record.log} is not committed: cancelled,"
                    " the machines here would be needed again",
                    cure="`bascule replica commit` on the other side, then ask again",
                )
            record = site.records.advance(record, Phase.CANCELLING)
        take_away(site, record)
        site.records.remove(record)
