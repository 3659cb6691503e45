"""The processes that run the jobs of one catalog: who of them is dead for certain."""

from __future__ import annotations

from typing import Protocol


class Nodes(Protocol):
    """Processes that know each other by a lock that each holds, and that ends with the process.

    Nobody's clock is asked. A node that lives but lost its lock (its database was restarted) counts as dead:
    what is taken over from it finds that out by itself, before it does anything more.
    """

    def join(self, name: str) -> None:
        """Hold the lock of a name from now on. Refused where only one may be, and one is."""

    def is_alive(self, name: str) -> bool:
        """Tell whether somebody holds the lock of a name."""

    def leave(self) -> None:
        """Let the lock go."""
