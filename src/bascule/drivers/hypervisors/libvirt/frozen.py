"""All disks of a domain at one instant, served by QEMU over NBD at libvirt's command, or copied by it.

Checkpoint and backup begin in one transaction of QEMU, without a pause, however many disks there are. A
checkpoint records on, whatever comes after it, until it is deleted: so neither ``keep`` nor ``drop`` has to
merge anything. Both end the backup first, because libvirt deletes no checkpoint beside one.

What a guest overwrites goes to a scratch file. Where that has no room left, QEMU stops the guest before
its write; ending the backup lets it go on and write, and it never learns of it. The keeper sees to that while
we read. An instant that is copied is there to be read when the copy is whole, which ``disks`` waits for.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.machines import FrozenDisk, Tracking

from .backups import OURS, Slot, is_pushed, of_whole_records, scratch_in, socket_in, unknown_to_libvirt
from .connection import Domain, told
from .domains import Disk
from .states import end_backup, has_job, must_run

_METADATA_ONLY = 2  # of virDomainCheckpointDeleteFlags
_REDEFINE = 1  # of virDomainCheckpointCreateFlags
_WITH_SIZES = 4  # of virDomainCheckpointXMLFlags
_OF_THE_LAST = 1  # of virDomainGetJobStatsFlags: of the job that is over
_COMPLETED = 3  # of virDomainJobType
_LOOKS_SECONDS = 0.02
_CLOSES_SECONDS = 30.0
_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


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
        self._is_copied = is_pushed(slots)
        self._is_whole = False

    @property
    def disks(self) -> tuple[FrozenDisk, ...]:
        """See Frozen. Of an instant that is copied, return when it is; Unavailable if it cannot be."""
        if not self._is_copied:
            return tuple(self._served(slot) for slot in self._slots)
        if not self._is_whole:
            self._wait()
        return tuple(self._copied(slot) for slot in self._slots)

    def _wait(self) -> None:
        while has_job(self._domain):
            self._clock.sleep(_LOOKS_SECONDS)
        with told(self._domain.name()):
            if self._domain.jobStats(_OF_THE_LAST).get("type") != _COMPLETED:
                raise Unavailable(
                    f"{self._domain.name()}: libvirt could not copy what its disks were at the instant",
                    cure=f"see that there is room in {self._folder} for what changes between two points",
                )
        # The job is over a moment before QEMU closes what it wrote, and it locks that as long as it is open.
        deadline = self._clock.monotonic() + _CLOSES_SECONDS
        while any(_is_open(scratch_in(self._folder, slot)) for slot in self._slots):
            if self._clock.monotonic() > deadline:
                raise Unavailable(f"{self._domain.name()}: QEMU does not let go of the copy of its disks")
            self._clock.sleep(_LOOKS_SECONDS)
        self._is_whole = True

    def _copied(self, slot: Slot) -> FrozenDisk:
        words = f"{scratch_in(self._folder, slot)}?format=qcow2"
        if slot.since:
            words += "&layer=yes"
        return FrozenDisk(slot.disk.id, slot.size_bytes, words, bool(slot.since))

    def _served(self, slot: Slot) -> FrozenDisk:
        words = f"nbd+unix:///{slot.export}?socket={socket_in(self._folder)}"
        if slot.since:
            words += f"&bitmap={slot.export}"
        return FrozenDisk(slot.disk.id, slot.size_bytes, words, bool(slot.since))

    @property
    def tracking(self) -> Tracking:
        """See Frozen."""
        return {slot.disk.id: self._checkpoint for slot in self._slots if slot.disk.is_recorded}

    def thaw(self) -> None:
        """See Frozen."""
        end_backup(self._domain, self._clock)
        for slot in self._slots:
            scratch_in(self._folder, slot).unlink(missing_ok=True)

    def keep(self) -> None:
        """See Frozen."""
        self.thaw()
        delete(self._domain, ours_of(self._domain) - {self._checkpoint})

    def drop(self) -> None:
        """See Frozen."""
        self.thaw()
        delete(self._domain, [self._checkpoint])


def _is_open(path: Path) -> bool:
    """Tell whether QEMU has an image open."""
    try:
        with path.open("rb+") as stream:
            found = fcntl.fcntl(stream, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}", cure="see who removes files there") from error
    return bool(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)


def ours_of(domain: Domain) -> set[str]:
    """Return the names of our checkpoints."""
    with told(domain.name()):
        return {name for known in domain.listAllCheckpoints() if (name := known.getName()).startswith(OURS)}


def delete(domain: Domain, names: Iterable[str]) -> None:
    """Delete checkpoints with their records; what is not there is deleted already.

    libvirt deletes no checkpoint that has lost a record on one of its disks: to another image, or with its
    machine. Then it is made one of the other disks only. Where even that fails, its name alone is forgotten.
    Raises Off where the machine is off: its images keep what is to be deleted, and the next owner finds it.
    """
    for name in names:
        must_run(domain, domain.name())
        has_job(domain)  # raises where all of it would only wait
        for does in (_delete, _delete_what_is_left, _forget):
            try:
                with told(domain.name(), Refused):
                    does(domain, name)
                break
            except Missing:
                raise
            except Refused:
                must_run(domain, domain.name())
                if does is _forget and name in ours_of(domain):
                    raise


def delete_unknown(domain: Domain, name: str, disks: Sequence[Disk]) -> None:
    """Delete what QEMU recorded for a checkpoint that libvirt did not come to know."""
    with told(domain.name(), Refused):
        description = unknown_to_libvirt(name, disks, domain.XMLDesc())
        domain.checkpointCreateXML(description, _REDEFINE)
    delete(domain, [name])


def _delete(domain: Domain, name: str) -> None:
    domain.checkpointLookupByName(name).delete()


def _delete_what_is_left(domain: Domain, name: str) -> None:
    description = domain.checkpointLookupByName(name).getXMLDesc(_WITH_SIZES)
    domain.checkpointCreateXML(of_whole_records(description), _REDEFINE)
    _delete(domain, name)


def _forget(domain: Domain, name: str) -> None:
    domain.checkpointLookupByName(name).delete(_METADATA_ONLY)
