"""Which generation a person means who says the name of a group, or of any of its generations."""

from __future__ import annotations

from bascule.data.store import Vault
from bascule.model.errors import Missing
from bascule.model.generations import family

from .generations import lineage
from .record import Kind, Phase
from .site import Site


def current(vault: Vault, group: str) -> str:
    """Return the generation to which the machines of a group are written now."""
    return lineage(vault, group).newest


def recorded(site: Site, group: str, kind: Kind) -> list[str]:
    """Return the generations of a group that this host has a record of, newest first."""
    return [log for log in reversed(lineage(site.vault, group).logs) if site.records.find(log, kind)]


def meant(site: Site, group: str, number: int | None, kind: Kind) -> str:
    """Return the generation that a failover or a test is of.

    By the group's own name it is the one that is under way here, or else the current one. A numbered point is
    of the generation that it is named with: numbers of another one mean other points.
    """
    if number is not None or group != family(group):
        return group
    for log in recorded(site, group, kind):
        if site.records.known(log, kind).phase is not Phase.COMMITTED:
            return log
    return current(site.vault, group)


def taken(site: Site, group: str, number: int | None) -> str:
    """Return the generation whose failover to this host came last; a numbered point names it, as above."""
    logs = recorded(site, group, Kind.FAILOVER) if number is None else []
    return logs[0] if logs else group


def returning(site: Site, group: str) -> tuple[str, Phase | None]:
    """Return the generation that is being failed back here, and how far that is; else the current one."""
    for log in recorded(site, group, Kind.FAILBACK):
        phase = site.records.known(log, Kind.FAILBACK).phase
        if phase is not Phase.COMMITTED:
            return log, phase
    return current(site.vault, group), None


def decided(site: Site, group: str) -> tuple[str, Kind]:
    """Return the failover or failback of a group that this host did last."""
    for log in reversed(lineage(site.vault, group).logs):
        for kind in (Kind.FAILBACK, Kind.FAILOVER):
            if site.records.find(log, kind):
                return log, kind
    raise Missing(f"nothing of {group} was taken over to this host", cure="see `bascule replica status`")
