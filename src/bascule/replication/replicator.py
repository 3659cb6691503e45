"""One machine, kept replicated: each cycle makes a point of what changed since the last.

Order of a cycle: freeze all disks at one instant; copy what changed; publish the
point, and in it the name of what records the changes since that instant; let go of the
instant. So whatever dies when, the newest point says by which record the next delta is
made, and that record began no later than the point's instant. A cycle that fails takes
back nothing but its own instant: its changes count again in the next one.

Where the record is lost, what changed is unknown: the disk is compared with the store by
digests, and only what differs is sent (R-R-2).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from bascule.data.pipeline.copy import Capture, Copied, copy
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.resync import resync
from bascule.data.store import DiskKey, DiskSpec, GroupWriter, MachineSpec, Tuning, Vault
from bascule.model.errors import Missing, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.disks import DiskSource
from bascule.ports.machines import Frozen, RunningMachine, Tracking

_VERSION = 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names a machine is kept, and who keeps it."""

    group: str
    machine: str
    writer: str


@dataclass(frozen=True, slots=True)
class World:
    """What a replicator needs of the rest of the house."""

    vault: Vault
    clock: Clock
    open_source: Callable[[str], DiskSource]
    conduct: Callable[[], Conduct]


@dataclass(frozen=True, slots=True)
class Cycled:
    """What one cycle did. ``compared`` names the disks whose changes were unknown."""

    copied: Copied
    compared: tuple[str, ...]
    seconds: float
    point_age_seconds: float


class _Session(NamedTuple):
    """What is open between two cycles."""

    machine: RunningMachine
    writer: GroupWriter


class Replicator:
    """A machine being replicated. Use from one thread; ``close`` leaves the machine as it is."""

    def __init__(self, world: World, adopt: Callable[[], RunningMachine], names: Names) -> None:
        self._world = world
        self._adopt = adopt
        self._names = names
        self._session: _Session | None = None
        self._since: Tracking = {}

    def cycle(self) -> Cycled:
        """Make a point, or raise and lose nothing: the next cycle sends what this one would have."""
        begun = self._world.clock.monotonic()
        session = self._session or self._begin()
        try:
            frozen = session.machine.freeze(self._since)
            try:
                copied, compared = self._send(session, frozen)
            except BaseException:
                with suppress(Unavailable):  # the machine ended, which is what is being raised
                    frozen.drop()
                raise
            self._since = frozen.tracking
            frozen.keep()
        except BaseException:
            # Its last words may have reached the store, or not; and the machine may be another one by now.
            self.close()
            raise
        clock = self._world.clock
        return Cycled(copied, compared, clock.monotonic() - begun, clock.now() - frozen.captured_at)

    def _begin(self) -> _Session:
        """Find the machine, take the group over, and find out from where the next delta counts."""
        vault, names = self._world.vault, self._names
        with ExitStack() as undo:
            machine = self._adopt()
            undo.callback(machine.close)
            tuning = Tuning.for_lanes(self._world.conduct().workers)
            writer = vault.begin(names.group, writer=names.writer, tuning=tuning)
            undo.callback(writer.close)
            self._since = machine.settle(self._tracking())
            undo.pop_all()
        self._session = _Session(machine, writer)
        return self._session

    def _tracking(self) -> Tracking:
        try:
            with self._world.vault.peek(self._names.group) as newest:
                found = [m.definition for m in newest.info.machines if m.id == self._names.machine]
        except Missing:
            return {}
        return _tracking_in(found[0]) if found else {}

    def _send(self, session: _Session, frozen: Frozen) -> tuple[Copied, tuple[str, ...]]:
        machine, writer = self._names.machine, session.writer
        with ExitStack() as open_sources:
            sources: dict[DiskKey, DiskSource] = {}
            for disk in frozen.disks:
                source = self._world.open_source(disk.words)
                open_sources.callback(source.close)
                sources[DiskKey(machine, disk.id)] = source
            disks = tuple(DiskSpec(disk.id, disk.size_bytes) for disk in frozen.disks)
            spec = MachineSpec(machine, session.machine.name or machine, disks, _definition(frozen.tracking))
            capture = Capture([spec], sources, frozen.captured_at)
            unknown = [disk.id for disk in frozen.disks if not disk.is_delta]
            compared = tuple(d for d in unknown if writer.disk_size(DiskKey(machine, d)) is not None)
            if not compared:
                return copy(writer, capture, self._world.conduct()), ()
            log.info("replication.compares", machine=machine, disks=compared)
            return resync(self._world.vault, writer, capture, self._world.conduct()).copied, compared

    def close(self) -> None:
        """Stop replicating; safe to call twice. The machine records on, so the next start sends a delta."""
        if self._session is not None:
            self._session.writer.close()
            self._session.machine.close()
            self._session = None


def _definition(tracking: Tracking) -> str:
    return json.dumps({"version": _VERSION, "tracking": dict(tracking)}, sort_keys=True)


def _tracking_in(definition: str) -> Tracking:
    """Return what a point says of the record that began with it; nothing if it was made in another way."""
    try:
        fields: Any = json.loads(definition)
        if fields["version"] != _VERSION:
            return {}
        return {str(disk): str(bitmap) for disk, bitmap in fields["tracking"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
