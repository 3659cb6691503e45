"""Hand over: the machines are shut down, their last changes become a point, and the log says so (R-FO-2).

Order: every guest powers off, and its machine rests with what it recorded; the last point is published;
the log says that nothing is missing behind it; the machines end. So the other side can take the
machines over and lose nothing. Interrupted, it is asked for again; a guest that does not power off runs on.
Asked again after it was done, it looks again: somebody may have started a machine meanwhile. A machine whose
host was down meanwhile is not booted for it: its disks are served again, and it rests with what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bascule.model.errors import Missing

from . import generations
from .record import Kind
from .site import Site, serve


def refuse_elsewhere(site: Site, group: str, names: Sequence[str]) -> None:
    """Refuse machines that are not on this host."""
    known = site.hypervisor.machines()
    if strange := [name for name in names if name not in known]:
        raise Missing(
            f"this host has no machine {', '.join(strange)} of {group}",
            cure="ask on the host where the machines run, or name it: --host",
        )


def hand_over(
    site: Site, group: str, names: Sequence[str], make_point: Callable[[], object], seconds: float
) -> None:
    """Give the machines of a group to the other side; ``make_point`` replicates what they hold."""
    if generations.lineage(site.vault, group).newest == group:
        record = site.records.that_began(group)
        if record is not None and record.kind is Kind.FAILOVER:
            serve(site, record)
        for name in names:
            site.say(f"shutting {name} down")
            site.hypervisor.rest(name, seconds)
        site.say("sending the last changes")
        make_point()
        generations.hand_over(site.vault, group, site.who)
    for name in names:
        site.hypervisor.shut_down(name, seconds)
