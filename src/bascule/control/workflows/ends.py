"""The two ends that workflows command."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.ports.sites import RecoverySite, SourceSite


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a replication."""

    source: SourceSite
    recovery: RecoverySite
