"""The two ends that workflows command."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.ports.sites import AwaySite, HomeSite, RecoverySite, SourceSite


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a replication; ``home`` and ``away`` are the same two for a machine that went over."""

    source: SourceSite
    recovery: RecoverySite
    home: HomeSite
    away: AwaySite
