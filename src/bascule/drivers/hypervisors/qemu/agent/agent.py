"""The guest agent of a QEMU machine, at the socket of its channel."""

from __future__ import annotations

from pathlib import Path

from bascule.ports.guests import FROZEN_AT_MOST_SECONDS

from ...watched import WatchedAgent
from . import guest


def agent_at(socket: Path, folder: Path, limit: float = FROZEN_AT_MOST_SECONDS) -> WatchedAgent:
    """Return the agent whose channel is at a socket; see WatchedAgent."""
    return WatchedAgent(guest.__name__, [str(socket)], folder, limit)
