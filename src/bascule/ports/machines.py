"""A running machine whose disks can be frozen at one instant, again and again, by what changed since.

A machine alone is frozen by ``freeze``, which needs no pause where the hypervisor can do
without. Machines of a group are frozen together, in steps that whoever freezes them
takes for all of them, one step after the other: ``prepare``, and of what that returns ``hold``,
``cut``, ``release``, ``show``. Nobody of them writes between the last ``hold`` and the first
``release``, so all cuts in between are one instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Tracking = Mapping[str, str]
"""For each disk the name under which the hypervisor records what changes from an instant on."""


@dataclass(frozen=True, slots=True)
class FrozenDisk:
    """A disk as it was at the instant.

    ``words`` is what a ``DiskSource`` is opened by. ``is_delta`` says that only what
    changed since the instant asked for is offered, not the whole disk.
    """

    id: str
    size_bytes: int
    words: str
    is_delta: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A disk, and how much of it a record says has changed; None where nothing is recorded."""

    size_bytes: int
    changed_bytes: int | None


class Frozen(Protocol):
    """All disks of a machine at one instant, held by the hypervisor beside the running machine.

    End it with ``keep`` or ``drop``, once; until then, or until ``thaw``, writes of the machine cost a
    copy of what they overwrite. None of them takes anything from the machine if it fails.
    """

    @property
    def captured_at(self) -> float:
        """Return the instant, in seconds since 1970."""

    @property
    def disks(self) -> tuple[FrozenDisk, ...]: ...

    @property
    def tracking(self) -> Tracking:
        """Return what records the changes since this instant; to be stored with the point made of it."""

    def thaw(self) -> None:
        """Show the disks no longer: all of them were read. Safe to call twice; ``keep`` or ``drop`` follows.

        What the machine recorded stays as it is, so this may come before it is known which of the two.
        """

    def keep(self) -> None:
        """Let go of the instant, and of what was recorded before it: a durable point has all of that."""

    def drop(self) -> None:
        """Let go of the instant; changes count from where they counted before it."""


class Freezing(Protocol):
    """A machine made ready to be frozen together with others; it writes until it is held.

    The steps come in the order of the methods. ``cancel`` takes everything back, after any of
    them, and the last of them ends it. Whoever dies between ``hold`` and ``release`` leaves no
    machine standing: the driver sees to it that it soon runs again.
    """

    def hold(self) -> None:
        """Let the machine stand still. One that does not run stays as it is."""

    def cut(self) -> None:
        """Make this the instant."""

    def release(self) -> None:
        """Let the machine run again, if ``hold`` stopped it; safe at any time and twice.

        Raises Unavailable if it has not stood still since ``hold``: then this was no common instant.
        """

    def show(self) -> Frozen:
        """Offer the disks as they were at the instant."""

    def cancel(self) -> None:
        """Let the machine run, as ``release`` does; changes count from where they counted before."""


class RunningMachine(Protocol):
    """A machine of a hypervisor. Use from one thread.

    Raises Unavailable when the hypervisor does not answer, Refused with a cure when the machine
    is not fit to be frozen. Adopting one that does not run raises Off.
    """

    @property
    def name(self) -> str: ...

    def settle(self, tracking: Tracking) -> Tracking:
        """Clear away what an earlier owner left half done; return what of ``tracking`` still holds.

        ``tracking`` is that of the newest point. A disk that is missing from the answer
        lost its record, or never had one: what changed on it is unknown.
        """

    def freeze(self, since: Tracking) -> Frozen:
        """Freeze all disks at one instant; those in ``since`` offer only what changed since then.

        A disk whose record is not there any more offers all of it: its image was replaced, or got somebody's
        snapshot on top. Disks that are gone are passed over.
        """

    def prepare(self, since: Tracking) -> Freezing:
        """Make all disks ready to be frozen together with those of other machines; see ``freeze``."""

    def recorded(self, since: Tracking) -> Mapping[str, Recorded]:
        """Return for each disk there is how much the record of ``since`` holds, and freeze nothing.

        A write that the guest was told of is in it. Costs one question to the hypervisor.
        """

    def close(self) -> None:
        """Disconnect, and leave the machine as it is; safe to call twice."""
