"""The machines of a replication group: who is there, and who is away.

A machine that is away does not keep the others from their points (R-RP-5). It is looked for
again, but not so often that looking for it costs them more than a tenth of their time: a
monitor that does not greet takes a minute to be given up. Where nobody is there, all are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from bascule.data.store import DiskKey
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.machines import MachineDefinition
from bascule.ports.chance import Clock
from bascule.ports.machines import Recorded, RunningMachine, Tracking

from .instants import Instant, Ready, Stumbled, freeze

_SPARED = 9  # times as long as a search took, until the next one

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of a group: the name that it is kept under, how to connect to it, and what it is made of.

    ``definition`` is None where nobody on this host defined it.
    """

    id: str
    adopt: Callable[[], RunningMachine]
    definition: Callable[[], MachineDefinition | None] = lambda: None


class Attendance:
    """One member: its machine while it is there, or why it is not."""

    def __init__(self, member: Member, clock: Clock) -> None:
        self.id = member.id
        self.machine: RunningMachine | None = None
        self.since: Tracking = {}
        self.absence: BasculeError | None = None
        self.definition: MachineDefinition | None = None
        self._member = member
        self._clock = clock
        self._due = clock.monotonic()

    @property
    def is_due(self) -> bool:
        """Tell whether it may be looked for again."""
        return self._clock.monotonic() >= self._due

    def find(self) -> bool:
        """Connect to the machine; False if it is away."""
        begun = self._clock.monotonic()
        try:
            self.definition = self._member.definition()
            self.machine, self.absence = self._member.adopt(), None
        except BasculeError as error:
            self.absence = error
            now = self._clock.monotonic()
            self._due = now + _SPARED * (now - begun)
        return self.machine is not None

    def settle(self, tracking: Tracking) -> None:
        """Find out from where its changes count; ``tracking`` is what the newest point says."""
        if self.machine is None:
            return
        try:
            self.since = self.machine.settle(tracking)
        except BasculeError as error:
            self.lose(error)

    def lose(self, error: BasculeError) -> None:
        """Give the machine up until it is looked for again."""
        log.warning("replication.lost", machine=self.id, reason=error.message)
        self.close()
        self.absence = error

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        if self.machine is not None:
            self.machine.close()
            self.machine = None


class Members:
    """All machines of a group. Use from one thread."""

    def __init__(self, members: Sequence[Member], clock: Clock) -> None:
        self._all = [Attendance(member, clock) for member in members]
        self._clock = clock

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each.id for each in self._all)

    @property
    def here(self) -> Mapping[str, Attendance]:
        """Return those that are there."""
        return {each.id: each for each in self._all if each.machine is not None}

    @property
    def absent(self) -> Mapping[str, BasculeError]:
        """Return why the others are not."""
        return {each.id: each.absence for each in self._all if each.absence is not None}

    def gather(self, newest: Callable[[], Mapping[str, Tracking]]) -> None:
        """Look for those that are away; ``newest`` is asked, once, if any of them came.

        Raises what keeps them away if nobody is there.
        """
        is_nobody_here = not self.here
        sought = [each for each in self._all if each.machine is None and (each.is_due or is_nobody_here)]
        if any([each.find() for each in sought]):
            known = newest()
            for each in sought:
                each.settle(known.get(each.id, {}))
        if not self.here:
            raise self._reason()

    def recorded(self) -> Mapping[DiskKey, Recorded] | None:
        """Return what the records of all disks hold; None if a machine does not say, which is lost then."""
        found: dict[DiskKey, Recorded] = {}
        for each in self.here.values():
            try:
                disks = each.machine.recorded(each.since) if each.machine else {}
            except BasculeError as error:
                each.lose(error)
                return None
            found |= {DiskKey(each.id, disk): told for disk, told in disks.items()}
        return found

    def freeze(self) -> Instant:
        """Freeze all that are there at one instant; who cannot be frozen is lost, and the others go on."""
        while here := self.here:
            ready = {each.id: Ready(each.machine, each.since) for each in here.values() if each.machine}
            try:
                return freeze(ready, self._clock)
            except Stumbled as stumbled:
                here[stumbled.machine].lose(stumbled.error)
        raise self._reason()

    def _reason(self) -> BasculeError:
        """Return what keeps everybody away; of several reasons one that passes."""
        return min(self.absent.values(), key=lambda error: not isinstance(error, Unavailable))

    def close(self) -> None:
        """Disconnect from all; safe to call twice."""
        for each in self._all:
            each.close()
