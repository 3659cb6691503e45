"""All disks of a running QEMU at one instant, served by QEMU itself over NBD.

Each disk is frozen in one of two ways (``filtered``, ``fleeced``); what they share is that
the point's instant is when one bitmap begins to record and another ends, and that of the two one stays:
the new one when the point is durable, the old one, told what it missed, when there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from bascule.ports.machines import FrozenDisk, Tracking

from .disks import Disk
from .images import WriteBack
from .monitor import Command, Json, Monitor, QemuRefused


class Slot(Protocol):
    """One disk being frozen; at the instant the bitmap ``since`` ends and ``bitmap`` begins."""

    disk: Disk
    since: str
    bitmap: str

    def prepare(self) -> None:
        """Make what the instant needs."""

    def commands(self) -> list[Command]:
        """Return the commands that freeze the disk."""

    def actions(self) -> list[Json]:
        """Return what freezes the disk inside one transaction for all disks that are frozen so."""

    def show(self) -> str:
        """Serve the frozen disk; return the words by which it is opened."""

    def thaw(self) -> None:
        """Take away what was made for the disk, as far as it was made."""


def instant(slots: Sequence[Slot]) -> list[Command]:
    """Return the commands that freeze disks; only several of them need that nobody writes meanwhile."""
    commands = [command for slot in slots for command in slot.commands()]
    if actions := [action for slot in slots for action in slot.actions()]:
        commands.append(Command("transaction", {"actions": actions}))
    return commands


class FrozenQemu:
    """See ``ports.machines.Frozen``."""

    def __init__(self, monitor: Monitor, slots: Sequence[Slot]) -> None:
        self._monitor = monitor
        self._slots = slots
        self._left = list(slots)  # of these something may still be there
        self._write_back: WriteBack | None = None
        self.captured_at = 0.0
        self.disks: tuple[FrozenDisk, ...] = ()

    @property
    def tracking(self) -> Tracking:
        """See Frozen."""
        return {slot.disk.id: slot.bitmap for slot in self._slots}

    def show(self) -> None:
        """Serve all disks."""
        shown = [(slot, slot.show()) for slot in self._slots]
        self.disks = tuple(
            FrozenDisk(slot.disk.id, slot.disk.size_bytes, words, bool(slot.since)) for slot, words in shown
        )
        self._write_back = WriteBack([slot.disk.file for slot in self._slots])

    def thaw(self) -> None:
        """See Frozen."""
        if self._write_back is not None:
            self._write_back.wait()
        while self._left:
            self._left[-1].thaw()
            self._left.pop()

    def keep(self) -> None:
        """See Frozen."""
        self.thaw()
        for slot in self._slots:
            for old in slot.disk.bitmaps:  # the one of before, and what was not believed
                self._monitor.execute("block-dirty-bitmap-remove", node=slot.disk.node, name=old.name)

    def drop(self) -> None:
        """See Frozen."""
        self.thaw()
        for slot in self._slots:
            with suppress(QemuRefused):  # it never began to record
                take_back(self._monitor, slot.disk.node, slot.since, slot.bitmap)


def take_back(monitor: Monitor, node: str, since: str, bitmap: str) -> None:
    """Add to ``since`` what ``bitmap`` recorded, and remove that; without ``since`` remove it only.

    The old one records again before it is told what it missed, so no change is lost whenever this ends.
    """
    if since:
        monitor.execute("block-dirty-bitmap-enable", node=node, name=since)
        monitor.execute("block-dirty-bitmap-merge", node=node, target=since, bitmaps=[bitmap])
    monitor.execute("block-dirty-bitmap-remove", node=node, name=bitmap)
