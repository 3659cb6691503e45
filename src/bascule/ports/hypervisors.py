"""A host that runs machines: what it has, and what it is told to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bascule.model.machines import DiskPlace, MachineDefinition, Power

from .machines import RunningMachine


class Hypervisor(Protocol):
    """One host and the machines that are defined on it. Safe to use from several threads.

    What is asked for twice is done once: a machine that runs is started already, one that is off is
    stopped already, one that is not defined is forgotten already. Everything else that names a machine
    which is not defined raises Missing. Raises Unavailable when the host does not answer.
    """

    def machines(self) -> tuple[str, ...]:
        """Return the names of all machines, sorted."""

    def networks(self) -> tuple[str, ...]:
        """Return the names that a network card may be plugged into, sorted."""

    def definition(self, name: str) -> MachineDefinition:
        """Return what a machine is made of."""

    def fits(self, definition: MachineDefinition) -> None:
        """Refuse, as ``define`` does, what the host cannot run; change nothing.

        Refused are a network that it does not have, more processors or memory than it can give one machine,
        and an address for a guest in a network where somebody else hands out addresses. Images are not
        looked for.
        """

    def define(self, definition: MachineDefinition) -> None:
        """Make a machine, or replace its definition at once: after a crash it is the old one or the new one.

        A machine that runs goes on as it is, until its next start. Refused for what does not fit, and for a
        path where no disk is. An NBD export is looked for at the start.
        """

    def forget(self, name: str) -> None:
        """Remove a machine's definition, and leave its disks. Refused while it runs."""

    def mark(self, name: str, text: str) -> None:
        """Keep a text beside a machine, until it is replaced, emptied or the machine is forgotten."""

    def marked(self, name: str) -> str:
        """Return the text that ``mark`` left beside a machine, empty if there is none."""

    def guard(self, asking: Sequence[str], settings: Path | None = None) -> str:
        """Have a machine that somebody starts past us ask first, and stay off if it is told to.

        ``asking`` is run with the machine's name and the path of its mark behind it, under the settings in a
        file. Returns what an operator has yet to do, empty where nobody starts machines past us. Again, it
        is replaced. Refused where the host cannot.
        """

    def starts_unasked(self, name: str) -> bool:
        """Tell whether the host starts a machine by itself, and asks nobody."""

    def power(self, name: str) -> Power:
        """Tell whether a machine runs."""

    def start(self, name: str) -> None:
        """Let a machine run. Refused, with what the hypervisor said, if it does not come up.

        One that stands still because a disk of it did not answer goes on.
        """

    def shut_down(self, name: str, seconds: float) -> None:
        """Ask the guest to power off, and wait; Unavailable if it did not in so many seconds, and runs on.

        A guest that reads the request late powers off late: who cannot have that cuts its power. A machine
        at rest ends. What images can keep of what they recorded they keep.
        """

    def rest(self, name: str, seconds: float) -> None:
        """Bring a machine to rest: its guest is off, and its disks can be replicated to the last write.

        As ``shut_down``, but what was recorded of changes stays and ``adopt`` works, until the power is
        cut. A machine that is off is made ready without its guest. ``power`` says PAUSED of one at rest. One
        that stands still because a disk of it did not answer goes on first.
        """

    def cut_power(self, name: str) -> None:
        """End a machine at once, and return when it is off. Its disks are as they are."""

    def adopt(self, name: str) -> RunningMachine:
        """Connect to a running machine to replicate it. Off if it does not run."""

    def new_disk(self, name: str, disk: str) -> DiskPlace:
        """Return a place for a disk, where nothing is yet, beside those of a machine, defined or not.

        No two calls return one place, and the folder it is in is there.
        """

    def remove_disk(self, place: DiskPlace) -> None:
        """Remove an image that ``new_disk`` gave the place for.

        Refused if a machine is defined or runs with it, and for other places: an image that somebody brought
        is not ours to remove.
        """

    def console(self, name: str) -> str:
        """Return what a machine's serial console said since its last start; empty if it never ran."""

    def screenshot(self, name: str) -> bytes:
        """Return what a running machine's screen shows, as a PNG; Unavailable if it is off."""
