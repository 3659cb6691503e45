"""A running machine of libvirt: adopted, frozen again and again, left as it was.

What outlives this process is with libvirt: checkpoints that go on recording, and perhaps a backup. All names
of ours begin with ``bascule-``. After a death at any moment ``settle`` ends the backup and deletes the
checkpoints that the newest point does not name; no record has to be completed, for each goes on until it is
deleted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.machines import Recorded, Tracking

from .backups import OURS, Slot, backup, checkpoint, is_pushed, sizes, socket_in
from .connection import Domain, connect, told
from .domains import Disk, disks_of, owner_of, refuse_unfit
from .freezing import FreezingDomain, standing_in
from .frozen import FrozenDomain, delete, delete_unknown
from .keeper import Keeper
from .states import end_backup, let_run, must_run, refuse_busy

_WITH_SIZES = 4 | 2  # of virDomainCheckpointXMLFlags: sizes, and nothing of the machine
_BEGUN = ".begun"
_ROOM_BYTES = 4 << 30
_ROOM_PART = 10
_IMAGE_PART, _IMAGE_BYTES = 4096, 1 << 20  # what a qcow2 says of itself


class LibvirtMachine:
    """See ``ports.machines.RunningMachine``.

    ``folder`` takes scratch files and a socket, and is ours alone: on this host, under a path
    that QEMU, which may be another user's, can reach.
    """

    def __init__(self, uri: str, name: str, folder: Path, clock: Clock, ids: Ids) -> None:
        self._uri = uri
        self._folder = folder
        self._clock = clock
        self._ids = ids
        self.name = name
        self._keeper: Keeper | None = None
        self._freezing: FreezingDomain | None = None  # the last one that may stand still
        self._connection = connect(uri)
        try:
            self._domain = self._found()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._connection.close()
            raise self._unfit(error) from error
        except BasculeError:
            self._connection.close()
            raise

    def _found(self) -> Domain:
        with told(self.name):
            domain = self._connection.lookupByName(self.name)
        must_run(domain, self.name)
        return domain

    def settle(self, tracking: Tracking) -> Tracking:
        """See RunningMachine."""
        must_run(self._domain, self.name)
        if standing_in(self._folder).exists():
            let_run(self._domain)
            standing_in(self._folder).unlink()
        end_backup(self._domain, self._clock)
        refuse_busy(self._domain)
        for left in (socket_in(self._folder), *self._folder.glob(f"{OURS}*.scratch")):
            left.unlink(missing_ok=True)
        known = self._known()
        held = _held(self._disks(), known, tracking)
        delete(self._domain, known.keys() - set(held.values()))
        self._reclaim(set(known))
        return held

    def _reclaim(self, known: set[str]) -> None:
        """Delete records whose machine ended while they were begun: they would go on for nobody."""
        for note in self._folder.glob(f"{OURS}*{_BEGUN}"):
            if note.stem not in known:
                with suppress(Refused):  # they may have died with it
                    delete_unknown(self._domain, note.stem, self._disks())
            note.unlink()

    def recorded(self, since: Tracking) -> dict[str, Recorded]:
        """See RunningMachine."""
        must_run(self._domain, self.name)
        known = self._known()
        return {
            disk.id: Recorded(self._size(disk), known.get(since.get(disk.id, ""), {}).get(disk.target))
            for disk in self._disks()
        }

    def _known(self) -> dict[str, dict[str, int]]:
        """Return our checkpoints, and how much each holds of the disks that it is whole for."""
        with told(self.name):
            found = [(known, known.getName()) for known in self._domain.listAllCheckpoints()]
            return {
                name: sizes(known.getXMLDesc(_WITH_SIZES)) for known, name in found if name.startswith(OURS)
            }

    def _disks(self) -> list[Disk]:
        with told(self.name):
            return disks_of(self._domain.XMLDesc())

    def _size(self, disk: Disk) -> int:
        with told(self.name):
            return self._domain.blockInfo(disk.target)[0]

    def freeze(self, since: Tracking) -> FrozenDomain:
        """See RunningMachine."""
        return self._cut(self._slots(since))

    def prepare(self, since: Tracking) -> FreezingDomain:
        """See RunningMachine."""
        slots = self._slots(since)
        self._freezing = FreezingDomain(self._domain, self._kept(), self._folder, lambda: self._cut(slots))
        return self._freezing

    def _cut(self, slots: list[Slot]) -> FrozenDomain:
        name = slots[0].export.rpartition("-")[0]
        self._kept().cut(name)
        frozen = FrozenDomain(self._domain, name, slots, self._folder, self._clock)
        cure = (
            "see whether somebody has a block job on its disks: `virsh blockjob`; it is tried again as usual"
        )
        with self._noted(name), told(f"{self.name} cannot be frozen", cure=cure):
            self._domain.backupBegin(backup(slots, self._folder), checkpoint(name, slots))
        return frozen

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        """Leave a note of what QEMU may record by now, until libvirt knows it too."""
        note = self._folder / f"{name}{_BEGUN}"
        try:
            note.touch()
        except OSError as error:
            raise self._unfit(error) from error
        yield
        note.unlink(missing_ok=True)

    def _kept(self) -> Keeper:
        if self._keeper is None:
            self._keeper = Keeper(self._uri, self.name)
        return self._keeper

    def _slots(self, since: Tracking) -> list[Slot]:
        """Look whether all disks can be frozen, and name what will be made for them."""
        must_run(self._domain, self.name)
        refuse_busy(self._domain)
        name = f"{OURS}{self._ids.random(4).hex()}"
        disks = self._disks()
        for disk in disks:
            refuse_unfit(self.name, disk)
        held = _held(disks, self._known(), since)
        slots = [
            Slot(disk, self._size(disk), f"{name}-{place}", held.get(disk.id, ""))
            for place, disk in enumerate(disks)
        ]
        self._share()
        self._look_for_room(slots)
        return slots

    def _look_for_room(self, slots: Sequence[Slot]) -> None:
        """See that there is room for what the guest overwrites: without it the guest stands still.

        An instant that is copied needs room for all of it, be the guest still or not.
        """
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise self._unfit(error) from error
        need = min(sum(slot.size_bytes for slot in slots) // _ROOM_PART, _ROOM_BYTES)
        if is_pushed(slots):
            known = self._known()
            need = sum(
                _copied_bytes(slot, known.get(slot.since, {}), self._allocated(slot)) for slot in slots
            )
        if free < need:
            raise self._unfit(OSError(0, f"{free >> 20} MiB are free, {need >> 20} MiB are needed"))

    def _allocated(self, slot: Slot) -> int:
        with told(self.name):
            return min(self._domain.blockInfo(slot.disk.target)[1], slot.size_bytes)

    def _share(self) -> None:
        """Give the folder to the user that the machine's QEMU runs as, for that one serves from it."""
        with told(self.name):
            owner = owner_of(self._domain.XMLDesc())
        try:
            if os.geteuid() == 0 and owner is not None and self._folder.stat().st_uid != owner[0]:
                os.chown(self._folder, *owner)
        except OSError as error:
            raise self._unfit(error) from error

    def _unfit(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self._folder} cannot take what {self.name} overwrites: {error.strerror}",
            cure="make room there, or name another folder",
        )

    def close(self) -> None:
        """See RunningMachine."""
        if self._freezing is not None:
            with suppress(BasculeError):  # it is gone, or runs
                self._freezing.release()
        if self._keeper is not None and self._freezing is not None and self._freezing.is_held:
            self._keeper.leave()
        elif self._keeper is not None:
            self._keeper.end()
        self._connection.close()


def _copied_bytes(slot: Slot, recorded: Mapping[str, int], held: int) -> int:
    """Return how much of a disk is copied, and what the image of the copy needs beside it."""
    return recorded.get(slot.disk.target, held) + slot.size_bytes // _IMAGE_PART + _IMAGE_BYTES


def _held(
    disks: Iterable[Disk], known: Mapping[str, Mapping[str, int]], tracking: Tracking
) -> dict[str, str]:
    """Return what of ``tracking`` libvirt vouches for."""
    return {
        disk.id: tracking[disk.id]
        for disk in disks
        if disk.target in known.get(tracking.get(disk.id, ""), ())
    }
