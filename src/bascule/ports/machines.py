"""A running machine whose disks can be frozen at one instant, again and again, by what changed since."""

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


class Frozen(Protocol):
    """All disks of a machine at one instant, held by the hypervisor beside the running machine.

    End it with ``keep`` or ``drop``, once; until then writes of the machine cost a copy
    of what they overwrite. Neither takes anything from the machine if it fails.
    """

    @property
    def captured_at(self) -> float:
        """Return the instant, in seconds since 1970."""

    @property
    def disks(self) -> tuple[FrozenDisk, ...]: ...

    @property
    def tracking(self) -> Tracking:
        """Return what records the changes since this instant; to be stored with the point made of it."""

    def keep(self) -> None:
        """Let go of the instant, and of what was recorded before it: a durable point has all of that."""

    def drop(self) -> None:
        """Let go of the instant; changes count from where they counted before it."""


class RunningMachine(Protocol):
    """A machine of a hypervisor. Use from one thread.

    Raises Unavailable when the hypervisor does not answer, Refused with a cure when the machine
    is not fit to be frozen.
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

        Refused if ``since`` names a record that is not there: somebody else has settled the machine.
        """

    def close(self) -> None:
        """Disconnect, and leave the machine as it is; safe to call twice."""
