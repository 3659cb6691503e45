"""What a verb is about to do: in which direction machines go, and what cannot be had back (R-FO-3, R-FB-6).

It is said each time. A person at a terminal is asked, too; a script is not, nor is who said --yes, and what
only goes on with something begun is not asked for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bascule.front.cli.words.quantities import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bascule.ports.chance import Clock
    from bascule.recovery.record import Kind, Record
    from bascule.recovery.site import Site


def of_failover(site: Site, clock: Clock, log: str, number: int | None) -> str:
    """Say what a failover does, empty if it only goes on."""
    from bascule.recovery.generations import is_handed_over
    from bascule.recovery.record import Kind

    if site.records.find(log, Kind.FAILOVER):
        return ""
    with site.vault.peek(log, number) as point:
        found = point.info
    age = seconds_text(max(0.0, clock.now() - found.captured_at))
    is_all = number is None and is_handed_over(site.vault, log)
    behind = "nothing is missing behind it" if is_all else "what was written after it stays over there"
    return (
        f"{_listed(machine.name for machine in found.machines)}: over to this host,"
        f" as of {log}/{found.number}, {age} old; {behind}. Whoever writes {log} can publish nothing more."
    )


def of_other_point(site: Site, log: str, number: int | None) -> str:
    """Say what it means to change the point of a failover."""
    from bascule.recovery.record import Kind

    with site.vault.peek(log, number) as point:
        found = f"{log}/{point.info.number}"
    names = _named(site.records.known(log, Kind.FAILOVER))
    return f"{names}: anew from {found} on this host; what they wrote here is thrown away."


def of_commit(site: Site, log: str, kind: Kind, *, keeps_points: bool) -> str:
    """Say what a commit decides, empty if that is decided."""
    from bascule.recovery.record import Kind, Phase

    record = site.records.known(log, kind)
    if record.phase is Phase.COMMITTED:
        return ""
    points = "" if keeps_points else f" The other points of {log} are removed."
    back = "the way back is `fail-back`" if kind is Kind.FAILOVER else "the way over is `fail-over`"
    return f"{_named(record)}: here to stay, and not to be cancelled any more; {back}.{points}"


def of_cancel(site: Site, log: str, kind: Kind) -> str:
    """Say what is thrown away by a cancel."""
    from bascule.recovery.record import Kind

    names = _named(site.records.known(log, kind)) or log
    if kind is Kind.FAILOVER:
        return f"{names}: removed from this host, with all that they wrote here; the other side stays fenced."
    return f"{names}: here again what they were before the failback, and off; what they wrote since is lost."


def of_hand_over(log: str, names: Iterable[str]) -> str:
    """Say what it means to hand machines over."""
    return f"{_listed(names)} of {log}: shut down here, and off until the other side takes them over."


def of_return(site: Site, log: str) -> str:
    """Say what it means to complete a failback."""
    from bascule.recovery.generations import is_handed_over
    from bascule.recovery.record import Kind, Phase

    record = site.records.find(log, Kind.FAILBACK)
    if record is None or record.phase is not Phase.SYNCING or not is_handed_over(site.vault, log):
        return ""
    return f"{_named(record)}: home to this host; {log} is left, and nothing starts over there any more."


def of_release(site: Site, logs: Iterable[str]) -> str:
    """Say what is removed where machines were recovered."""
    from bascule.recovery.record import Kind

    names = _listed(name for log in logs for name in _names(site.records.known(log, Kind.FAILOVER)))
    return (
        f"{names}: removed from the host where they were recovered, with their disks there." if names else ""
    )


def _named(record: Record) -> str:
    return _listed(_names(record))


def _names(record: Record) -> list[str]:
    return [member.definition.name for member in record.members]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
