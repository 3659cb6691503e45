"""What a side wrote and nobody ever saw: kept as a point of its own, until somebody discards it (R-FO-7)."""

from __future__ import annotations

from contextlib import ExitStack, closing

from bascule.data.pipeline.copy import Capture
from bascule.data.pipeline.renew import differing_bytes
from bascule.data.pipeline.resync import resync
from bascule.data.store import DiskKey, DiskReader, DiskSpec, MachineSpec, PointReader
from bascule.model.errors import Exists, Missing, Refused
from bascule.model.machines import DiskPlace
from bascule.ports.disks import DiskSource

from .generations import base_of, is_handed_over
from .record import Record
from .site import Site


def keep_orphan(site: Site, record: Record) -> str:
    """Keep what the old disks of a failback hold behind the last point of their time.

    Returns the name of the group that holds it, empty if there is no such thing.
    """
    base = base_of(site.vault, record.group)
    if base is None:
        return ""
    old = base[0]
    if is_handed_over(site.vault, old):
        return ""
    with ExitStack() as opened:
        last = opened.enter_context(site.vault.point(old, purpose="orphan"))
        sources = _sources(site, record, last, opened)
        if not any(_differs(site, last.disk(key), source) for key, source in sources.items()):
            return ""
        name = f"{old}~orphan-{record.token}"
        site.say(f"keeping what was written here after {old}/{last.info.number} as group {name}")
        _keep(site, (old, last.info.number), name, last, sources)
    return name


def _sources(site: Site, record: Record, last: PointReader, opened: ExitStack) -> dict[DiskKey, DiskSource]:
    found: dict[DiskKey, DiskSource] = {}
    for key in last.disks():
        place = _old_place(record, key)
        if place is not None:
            source = site.images.open(place)
            opened.callback(source.close)
            found[key] = source
    return found


def _differs(site: Site, known: DiskReader, source: DiskSource) -> bool:
    """Tell whether a disk holds what its last point does not; one of another size was resized after it."""
    return source.size_bytes != known.size_bytes or differing_bytes(known, source, site.conduct()) > 0


def _old_place(record: Record, key: DiskKey) -> DiskPlace | None:
    for member in record.members:
        if member.machine == key.machine and member.before is not None:
            for disk in member.before.disks:
                if disk.id == key.disk:
                    return disk
    return None


def _keep(
    site: Site, base: tuple[str, int], name: str, last: PointReader, sources: dict[DiskKey, DiskSource]
) -> None:
    try:
        site.vault.branch(base, name, writer=f"orphan of {base[0]} by {site.who}").close()
    except (Refused, Exists):
        if not any(group == name for group in site.vault.groups()):
            raise
    specs = [
        MachineSpec(
            machine.id,
            machine.name,
            tuple(
                DiskSpec(key.disk, source.size_bytes)
                for key, source in sources.items()
                if key.machine == machine.id
            ),
            machine.definition,
        )
        for machine in last.info.machines
    ]
    specs = [spec for spec in specs if spec.disks]
    with closing(site.vault.begin(name, writer=f"orphan of {base[0]} by {site.who}")) as writer:
        try:
            site.vault.peek(name).close()
        except Missing:
            writer.cut(specs, captured_at=last.info.captured_at).publish()
        resync(site.vault, writer, Capture(specs, sources, last.info.captured_at), site.conduct())
