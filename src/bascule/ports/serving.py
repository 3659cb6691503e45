"""What serves the disks of recovered machines, each machine by a process that outlives whoever started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Served:
    """A machine at a point, to be served from a folder, which keeps what the machine writes.

    ``hydrate`` says that the data is to be copied into the folder behind the running machine.
    """

    folder: Path
    group: str
    number: int
    machine: str
    hydrate: bool


class Serving(Protocol):
    """Starts and ends point servers. What is asked for twice is done once."""

    def words(self, folder: Path, disk: str) -> str:
        """Return by which words a hypervisor opens a disk that is served from a folder."""

    def start(self, served: Served) -> None:
        """Serve, and return when every disk answers. Raises what keeps the point from being opened."""

    def is_up(self, folder: Path) -> bool:
        """Tell whether somebody serves from a folder."""

    def stop(self, folder: Path) -> None:
        """End the server in order; the folder stays, and can be served again with all that was written."""

    def throw_away(self, folder: Path) -> None:
        """End the server, and remove the folder with what was written and its hold on the point."""
