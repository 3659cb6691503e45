"""All disks of a domain at one instant, served by QEMU over NBD at libvirt's command.

Checkpoint and backup begin in one transaction of QEMU, without a pause, however many disks there are. A
checkpoint records on, whatever comes after it, until it is deleted: so neither ``keep`` nor ``drop`` has to
merge anything. Both end the backup first, because libvirt deletes no checkpoint beside one.

What a guest overwrites goes to a scratch file. Where that has no room left, QEMU stops the guest before
its write; ending the backup lets it go on and write, and it never learns of it. The keeper sees to that while
we read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bascule.model.errors import Missing, Refused
from bascule.ports.chance import Clock
from bascule.ports.machines import FrozenDisk, Tracking

from .backups import Slot, socket_in
from .connection import Domain, told
from .states import end_backup

_METADATA_ONLY = 2  # of virDomainCheckpointDeleteFlags


class FrozenDomain:
    """See ``ports.machines.Frozen``."""

    def __init__(
        self, domain: Domain, checkpoint: str, slots: list[Slot], folder: Path, clock: Clock
    ) -> None:
        self._domain = domain
        self._checkpoint = checkpoint
        self._slots = slots
        self._folder = folder
        self._clock = clock
        self.captured_at = clock.now()

    @property
    def disks(self) -> tuple[FrozenDisk, ...]:
        """See Frozen."""
        return tuple(self._shown(slot) for slot in self._slots)

    def _shown(self, slot: Slot) -> FrozenDisk:
        words = f"nbd+unix:///{slot.export}?socket={socket_in(self._folder)}"
        if slot.since:
            words += f"&bitmap={slot.export}"
        return FrozenDisk(slot.disk.id, slot.size_bytes, words, bool(slot.since))

    @property
    def tracking(self) -> Tracking:
        """See Frozen."""
        return {slot.disk.id: self._checkpoint for slot in self._slots}

    def keep(self) -> None:
        """See Frozen."""
        end_backup(self._domain, self._clock)
        delete(self._domain, {slot.since for slot in self._slots if slot.since})

    def drop(self) -> None:
        """See Frozen."""
        end_backup(self._domain, self._clock)
        delete(self._domain, [self._checkpoint])


def delete(domain: Domain, names: Iterable[str]) -> None:
    """Delete checkpoints with their records; what is not there is deleted already."""
    for name in names:
        try:
            with told(domain.name(), Refused):
                domain.checkpointLookupByName(name).delete()
        except Missing:
            raise
        except Refused:
            _forget(domain, name)


def _forget(domain: Domain, name: str) -> None:
    """Forget a checkpoint whose record died with its machine; libvirt cannot delete that."""
    with told(domain.name()):
        if name in [known.getName() for known in domain.listAllCheckpoints()]:
            domain.checkpointLookupByName(name).delete(_METADATA_ONLY)
