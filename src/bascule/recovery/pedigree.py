"""Which generation a person means who says the name of a group, or of any of its generations."""

from __future__ import annotations

from bascule.data.store import Vault
from bascule.model.errors import Missing

from .generations import lineage
from .record import Kind, Phase
from .site import Site


def current(vault: Vault, group: str) -> str:
    """Return the generation to which the machines of a group are written now."""
    return lineage(vault, group).newest


def recorded(site: Site, group: str, kind: Kind) -> list[str]:
    """Return the generations of a group that this host has a record of, newest first."""
    return [log for log in reversed(lineage(site.vault, group).logs) if site.records.find(log, kind)]


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
