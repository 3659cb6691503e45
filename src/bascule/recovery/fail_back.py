"""Fail back: machines come home to the disks they left, and only what changed travels (R-HV-1 to R-HV-5).

Phase 1, *synchronise*, while the machines run on the other side: beside each old disk a new image is made
that lies on it; it is made equal to the point from which the machine was failed over, and then to the newest
one. Phase 2, *complete*, after the other side handed over: what changed since travels, the next generation
is begun, and the machines' definitions are switched to the new images, each at once. The old disks are only
read. So whatever ends a failback early, and whenever, what was here is still here.

Or *whole*: the other side handed over first, and then each new image, which lies on nothing, is downloaded
without a comparison (R-HV-2). The rest is the same.

What the old disks hold behind the last point of their time is nobody's to throw away (R-FO-7): it
becomes a point of an orphan group first.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

from bascule.data.pipeline.journal import Journal
from bascule.data.pipeline.renew import Renewed, download, level, renew
from bascule.data.store import DiskKey, MachineInfo, PointReader
from bascule.model.errors import Missing, Refused
from bascule.model.generations import family
from bascule.model.machines import DiskPlace, MachineDefinition, Power
from bascule.model.notes import MachineNote
from bascule.ports.images import Replica

from .generations import (
    abandon,
    base_of,
    begun_by,
    give_back,
    is_handed_over,
    is_settled,
    lineage,
    refuse_if_left,
    refuse_unless_here,
)
from .orphans import keep_orphan
from .owning import own, publish, writer_of
from .record import Kind, Member, Phase, Record, refuse_unless
from .settling import settle
from .shapes.shape import Shape, refuse_unknown
from .site import Site, is_off, start

_UNDONE = "complete it first: `bascule replica fail-back`, after the hand-over"
_BEFORE_COMMIT = (Phase.SYNCING, Phase.CHOSEN, Phase.STARTING, Phase.RUNNING)


def synchronise(site: Site, group: str, shape: Shape, *, whole: bool = False) -> tuple[Record, Renewed]:
    """Phase 1: make new images beside the old disks equal to the newest point; again, to a newer one.

    ``whole``: download all of them, after the other side handed over.
    """
    with site.records.alone(group, Kind.FAILBACK):
        record = site.records.find(group, Kind.FAILBACK)
        if record is None:
            record = _begun(site, group, shape, whole=whole)
        refuse_unless(record, (Phase.SYNCING,), "synchronising", "complete it, or cancel it")
        if whole and not record.whole:
            raise Refused(
                f"the failback of {group} began by synchronising what is here",
                cure="go on without --full, or cancel it first",
            )
        _refuse_running(site, record)
        return _synchronised(site, record)


def _begun(site: Site, group: str, shape: Shape, *, whole: bool) -> Record:
    refuse_if_left(site.vault, group)
    _refuse_uncommitted(site, group)
    if whole:
        _refuse_unless_handed_over(site, group)
    record = Record(Kind.FAILBACK, group, site.ids.random(8).hex(), Phase.SYNCING, whole=whole)
    origins = _origins(site, group)
    with site.vault.peek(group) as point:
        refuse_unknown(shape.asked, point.info.machines)
        members = tuple(
            _planned(site, machine, shape.of(origins.get(machine.id, machine)))
            for machine in point.info.machines
        )
    record = replace(record, members=members)
    _refuse_running(site, record)
    for member in members if not whole else ():
        melt(site, member)
    # The images may lie on others by now.
    members = tuple(_replanned(site, member) for member in members)
    return site.records.save(replace(record, members=members))


def _refuse_uncommitted(site: Site, group: str) -> None:
    """Refuse to bring home what may still go to another point, or be cancelled (R-HV-1)."""
    base = base_of(site.vault, group)
    if base is None or is_settled(site.vault, base[0]):
        return
    raise Refused(
        f"the failover of {base[0]} is not committed:"
        f" {_named(site, group)} may still go to another point over there",
        cure=f"`bascule replica commit STORE {family(group)}` on the other side, or `cancel` it there",
    )


def _named(site: Site, group: str) -> str:
    with site.vault.peek(group) as point:
        return ", ".join(machine.name for machine in point.info.machines)


def _origins(site: Site, group: str) -> dict[str, MachineInfo]:
    """Return what the machines were on the side that they left: over there they may be called otherwise."""
    base = base_of(site.vault, group)
    if base is None:
        return {}
    try:
        with site.vault.peek(*base) as point:
            return {machine.id: machine for machine in point.info.machines}
    except Missing:
        return {}  # retention took it: they are called here as they are there


def _planned(site: Site, machine: MachineInfo, wanted: MachineDefinition) -> Member:
    """Say what a machine is to be here: what it was, with new images in place of the old."""
    before = site.hypervisor.definition(wanted.name) if wanted.name in site.hypervisor.machines() else None
    if before is None:
        _refuse_unfit(site, wanted)
    places = {disk.id: site.hypervisor.new_disk(wanted.name, disk.id) for disk in machine.disks}
    known = before or wanted
    kept = tuple(disk for disk in known.disks if disk.id not in places)
    disks = tuple(places[disk.id] for disk in machine.disks) + kept
    if before is not None:  # in the order they had: the first is booted from
        order = [disk.id for disk in before.disks]
        disks = tuple(sorted(disks, key=lambda d: order.index(d.id) if d.id in order else len(order)))
    return Member(machine.id, replace(known, disks=disks), before)


def _refuse_unfit(site: Site, wanted: MachineDefinition) -> None:
    networks = site.hypervisor.networks()
    for nic in wanted.hardware.nics:
        if nic.network and nic.network not in networks:
            raise Refused(
                f"{wanted.name} is to be made here, and this host has no network {nic.network}",
                cure=f"make one, or map it: --network {nic.network}=ONE of {', '.join(networks) or 'none'}",
            )
    site.hypervisor.fits(wanted)


def _replanned(site: Site, member: Member) -> Member:
    if member.before is None:
        return member
    return replace(member, before=site.hypervisor.definition(member.before.name))


def _refuse_running(site: Site, record: Record) -> None:
    known = site.hypervisor.machines()
    for member in record.members:
        name = member.definition.name
        if name in known and site.hypervisor.power(name) is not Power.OFF:
            raise Refused(
                f"{name} runs here, beside the one that was recovered from it",
                cure="shut it down first: what it wrote is kept as a point of its own",
            )


def _synchronised(site: Site, record: Record) -> tuple[Record, Renewed]:
    did = Renewed()
    with site.vault.point(record.group, purpose="failback") as newest:
        if not record.number:
            keep_orphan(site, record)
            (_download if record.whole else _level)(site, record, newest, did)
        elif record.number != newest.info.number:
            with site.vault.point(record.group, record.number, purpose="failback") as base:
                for key, place in _disks(record, newest):
                    with closing(_replica(site, record, key, place, newest)) as replica:
                        _add(did, renew(base.disk(key), newest.disk(key), replica, site.conduct()))
        number = newest.info.number
    site.say(f"the disks here are equal to {record.group}/{number}")
    record = site.records.save(replace(record, number=number))
    site.records.unmark(record)
    return record, did


def _level(site: Site, record: Record, newest: PointReader, did: Renewed) -> None:
    with _base(site, record) as base:
        site.say(f"comparing the disks here with {base.info.group}/{base.info.number}")
        for key, place in _disks(record, newest):
            with closing(_replica(site, record, key, place, newest)) as replica:
                _add(did, level(base.disk(key), replica, site.conduct()))
                _add(did, renew(base.disk(key), newest.disk(key), replica, site.conduct()))


def _download(site: Site, record: Record, newest: PointReader, did: Renewed) -> None:
    """Download all disks; one that was begun goes on where it was.

    Order: what was written is flushed, then it is marked; so marks tell the truth for as long as the image is
    there. They are of this failback and this point.
    """
    about = f"{record.token} {record.group}/{newest.info.number}"
    site.say(f"downloading the disks of {record.group}/{newest.info.number}, whole")
    for key, place in _disks(record, newest):
        marks = site.records.marks(record, key) if site.images.is_there(place) else b""
        journal = Journal(about, partial(site.records.mark, record, key), marks)
        with closing(_replica(site, record, key, place, newest)) as replica:
            _add(did, download(newest.disk(key), replica, site.conduct(), journal))
    if did.settled_bytes:
        site.say(f"{did.settled_bytes >> 20} MiB of them were here since an earlier try")


def _add(sum_: Renewed, more: Renewed) -> None:
    sum_.compared_bytes += more.compared_bytes
    sum_.written_bytes += more.written_bytes
    sum_.zeroed_bytes += more.zeroed_bytes
    sum_.fetched_bytes += more.fetched_bytes
    sum_.settled_bytes += more.settled_bytes


def _base(site: Site, record: Record) -> PointReader:
    """Open the point that the machines were failed over from, or the oldest that holds what it held."""
    base = base_of(site.vault, record.group)
    if base is not None:
        try:
            return site.vault.point(*base, purpose="failback")
        except Missing:
            pass  # retention took it; the other side's first point is the same
    oldest = site.vault.points(record.group)[0]
    return site.vault.point(record.group, oldest.number, purpose="failback")


def _disks(record: Record, point: PointReader) -> list[tuple[DiskKey, DiskPlace]]:
    places = {(m.machine, disk.id): disk for m in record.members for disk in m.definition.disks}
    return [(key, places[key.machine, key.disk]) for key in point.disks()]


def _replica(site: Site, record: Record, key: DiskKey, place: DiskPlace, point: PointReader) -> Replica:
    (member,) = [m for m in record.members if m.machine == key.machine]
    before = member.before.disks if member.before and not record.whole else ()
    old = [disk for disk in before if disk.id == key.disk]
    return site.images.open_beside(place, point.disk(key).size_bytes, old[0] if old else None)


def complete(site: Site, group: str) -> tuple[Record, Renewed]:
    """Phase 2: take the machines back, now that the other side handed over, and start them."""
    with site.records.alone(group, Kind.FAILBACK):
        record, did = site.records.known(group, Kind.FAILBACK), Renewed()
        refuse_unless(record, _BEFORE_COMMIT, "completing", "there is nothing left to complete")
        if record.phase is Phase.SYNCING:
            record, did = _completed(site, record)
        if record.phase is Phase.CHOSEN:
            record = own(site, record)
        if record.phase is Phase.STARTING or (record.phase is Phase.RUNNING and is_off(site, record)):
            refuse_unless_here(site.vault, record.log)
            publish(site, record, lambda definition: _note(record, definition))
            start(site, record)
            record = site.records.advance(record, Phase.RUNNING)
        return record, did


def _completed(site: Site, record: Record) -> tuple[Record, Renewed]:
    refuse_if_left(site.vault, record.group)
    if not record.number:
        raise Refused(f"the disks of {record.group} are not synchronised yet", cure="do that first")
    _refuse_unless_handed_over(site, record.group)
    _refuse_running(site, record)
    record, did = _synchronised(site, record)
    for member in record.members:
        for disk in _new(member):
            site.images.record(disk, _bitmap(record))
    log = lineage(site.vault, record.group).next
    return site.records.advance(record, Phase.CHOSEN, log=log), did


def _refuse_unless_handed_over(site: Site, group: str) -> None:
    if not is_handed_over(site.vault, group):
        raise Refused(
            f"{_named(site, group)} of {group} still run on the other side",
            cure=f"hand them over there: `bascule replica hand-over STORE {family(group)}`",
        )


def _new(member: Member) -> list[DiskPlace]:
    """Return the images that were made for a failback."""
    old = set(member.before.disks) if member.before else set()
    return [disk for disk in member.definition.disks if disk not in old]


def _bitmap(record: Record) -> str:
    return f"bascule-{record.token[:8]}"


def _note(record: Record, definition: MachineDefinition) -> MachineNote:
    (member,) = [m for m in record.members if m.definition == definition]
    return MachineNote(definition, {disk.id: _bitmap(record) for disk in _new(member)})


def commit(site: Site, group: str, *, keeps_points: bool = False) -> Record:
    """Let a failback stay: the other side may be cleared (``release``), and the other points are removed.

    The old disks stay below the new ones until these are melted into them. What was downloaded whole lies on
    nothing, and its old disks are left to the operator.
    """
    with site.records.alone(group, Kind.FAILBACK):
        record = site.records.known(group, Kind.FAILBACK)
        refuse_unless(record, (Phase.RUNNING, Phase.COMMITTED), "commit", _UNDONE)
        if record.phase is Phase.RUNNING:
            refuse_if_left(site.vault, record.log)
            record = site.records.advance(record, Phase.COMMITTED)
        settle(site, record, keeps_points=keeps_points)
        for member in record.members if record.whole else ():
            for disk in set(member.before.disks if member.before else ()) - set(member.definition.disks):
                site.say(f"{member.definition.name} does not need {disk.words} any more; it is not removed")
        return record


def cancel(site: Site, group: str) -> None:
    """Take a failback back: the machines here are what they were before it, and are off (R-HV-5)."""
    with site.records.alone(group, Kind.FAILBACK):
        record = site.records.find(group, Kind.FAILBACK)
        if record is None:
            return
        refuse_unless(record, (*_BEFORE_COMMIT, Phase.CANCELLING), "cancel", "fail over again instead")
        if record.phase in (Phase.STARTING, Phase.RUNNING):
            refuse_if_left(site.vault, record.log)
        record = site.records.advance(record, Phase.CANCELLING)
        for member in record.members:
            _put_back(site, member)
        if record.log and begun_by(site.vault, record.log) == writer_of(site, record):
            abandon(site.vault, record.log, site.who)
        if lineage(site.vault, group).newest == group and is_handed_over(site.vault, group):
            give_back(site.vault, group, site.who)
        site.records.remove(record)


def _put_back(site: Site, member: Member) -> None:
    name = member.definition.name
    if name in site.hypervisor.machines() and site.hypervisor.definition(name) == member.definition:
        site.hypervisor.cut_power(name)
        if member.before is not None:
            site.hypervisor.define(member.before)
        else:
            site.hypervisor.forget(name)
    for disk in _new(member):
        site.hypervisor.remove_disk(disk)


def melt(site: Site, member: Member) -> None:
    """Melt the images of an earlier failback into those they lie on, so that they never pile up.

    Order: an image is written into the one below, and both hold the same; the definition is switched to
    that one; the image goes.
    """
    if member.before is None:
        return
    for record in _committed(site):
        for earlier in record.members:
            for disk in set(_new(earlier)) & set(member.before.disks):
                site.say(f"melting disk {disk.id} of {member.before.name} into the one that it lies on")
                below = site.images.melt(disk)
                if below is not None:
                    _switch(site, member.before.name, disk, below)


def _switch(site: Site, name: str, disk: DiskPlace, below: DiskPlace) -> None:
    now = site.hypervisor.definition(name)
    disks = tuple(below if found == disk else found for found in now.disks)
    site.hypervisor.define(replace(now, disks=disks))
    site.hypervisor.remove_disk(disk)


def _committed(site: Site) -> list[Record]:
    found = [site.records.find(group, Kind.FAILBACK) for group in site.records.groups()]
    return [record for record in found if record is not None and record.phase is Phase.COMMITTED]
