"""Two sites on this machine: hosts with networks of their own, a WAN between them, and power that fails."""

from __future__ import annotations

from .apart import Apart
from .topology import Host, Site, Sites

__all__ = ["Apart", "Host", "Site", "Sites"]
