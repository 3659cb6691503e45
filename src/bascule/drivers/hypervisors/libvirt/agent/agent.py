"""The guest agent of a machine of libvirt."""

from __future__ import annotations

from pathlib import Path

from bascule.ports.guests import FROZEN_AT_MOST_SECONDS

from ...watched import WatchedAgent
from . import guest


def agent_of(uri: str, name: str, folder: Path, limit: float = FROZEN_AT_MOST_SECONDS) -> WatchedAgent:
    """Return the agent in a domain's guest; see WatchedAgent."""
    return WatchedAgent(guest.__name__, [uri, name], folder, limit)
