"""What a provider needs of the rest of the house; ``apps`` fits it out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bascule.data.pipeline.flow.buffers import Buffers
from bascule.data.pipeline.flow.conduct import Conduct
from bascule.data.pipeline.flow.crew import Cancel
from bascule.data.pipeline.flow.progress import Meter, Observer
from bascule.data.pipeline.flow.throttle import Throttle
from bascule.data.store import Vault
from bascule.model.machines import MachineDefinition
from bascule.ports.chance import Clock
from bascule.ports.disks import DiskSource
from bascule.ports.guests import Commands, GuestAgent
from bascule.ports.machines import RunningMachine

# With 24 MiB of units for each of four transfers, and the process itself, that is less than 256 MiB.
SEGMENTS_BYTES = 72 << 20


def free_in(path: Path) -> int:
    """Return how many bytes are free where a path is, or would be."""
    return shutil.disk_usage(next(one for one in (path, *path.parents) if one.exists())).free


class Own(NamedTuple):
    """What an item has for itself (R-R-4): its name on the line, a throttle, and threads if not the usual."""

    payer: str
    throttle: Throttle | None = None
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Workshop:
    """Tools that all items of a host share. ``vault`` takes a store's place and a key file's path, and lends
    what is there: a store is open as long as somebody has it, so that nobody holds on to one that failed.
    ``adopt`` takes a machine's words and a room of our own; ``definition`` says what it is made of. ``agent``
    takes the same and a policy's word for the agent, and returns that of the machine's guest, None if it is
    not known; it connects to nothing yet.

    ``workers`` is the number of threads that compress and seal for one transfer, ``threads`` that of
    transfers at one time; the throttle and the buffers are shared by all of them, in equal shares.
    ``throttle_of`` makes one of an item's own of what its policy says. ``segments_bytes`` is the memory of
    all transfers together for what they put together and store.
    """

    clock: Clock
    vault: Callable[[str, str], AbstractContextManager[Vault]]
    adopt: Callable[[str, Path], RunningMachine]
    definition: Callable[[str], MachineDefinition | None]
    open_source: Callable[[str], DiskSource]
    who: str
    throttle: Throttle | None = None
    workers: int = 2
    threads: int = 4
    buffers: Buffers = field(default_factory=Buffers)
    agent: Callable[[str, Path, str], GuestAgent | None] = lambda _words, _room, _agent: None
    commands: Commands | None = None
    local_time: Callable[[float], datetime] = datetime.fromtimestamp
    free_bytes: Callable[[Path], int] = free_in
    throttle_of: Callable[[str], Throttle | None] = lambda _limit: None
    segments_bytes: int = SEGMENTS_BYTES

    def conduct(self, cancel: Cancel, observer: Observer, own: Own) -> Conduct:
        """Return how to conduct one transfer."""
        meter, workers = Meter(self.clock, observer), own.workers or self.workers
        line = (cancel, self.throttle, workers, workers, self.buffers)
        return Conduct(meter, *line, own_throttle=own.throttle, payer=own.payer)
