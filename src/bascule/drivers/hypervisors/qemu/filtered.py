"""A disk frozen by a filter below it, which a full fleece breaks, and not the guest.

The filter (copy-before-write) keeps what the guest overwrites in a sparse file, the fleece; a node
above it (snapshot-access) shows the disk as it was. The order:

1. the filter over its fleece, beside the disk;
2. the instant: a new bitmap begins to record, then the filter goes under the disk;
3. the snapshot is exported with the old bitmap; to be read whole with the new one, and of a disk with images
   below it also the disk itself: why, says ``Frozen`` of ``drivers.disks.nbd``.

The old bitmap records on until it is removed: it holds at least what it must, what is read comes from
the snapshot, and whoever gives the instant up has nothing to put back. Each command
costs QEMU about half a millisecond, sent together or not, so there are as few as can be.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .disks import OURS, Disk, nodes_under
from .exports import begin_export, end_export, words_of
from .images import told_of
from .monitor import Command, Json, Monitor, QemuRefused

GRANULARITY = 65536
_GUEST_WAITS_SECONDS = 30


class FilteredSlot:
    """See ``frozen.Slot``."""

    def __init__(self, monitor: Monitor, disk: Disk, folder: Path, name: str, since: str) -> None:
        self._monitor = monitor
        self._folder = folder
        self.disk = disk
        self.since = since
        self.bitmap = OURS + name.partition("-")[0]
        self._fleece = f"{OURS}f-{name}"
        self._filter = f"{OURS}c-{name}"
        self._view = f"{OURS}s-{name}"
        self._export = f"{OURS}{name}"
        self._holes = f"{OURS}h-{name}" if disk.is_layered and not since else ""

    def prepare(self) -> None:
        """See Slot."""
        path = self._folder / self._fleece
        with told_of(self._folder), open(path, "xb") as file:
            file.truncate(self.disk.size_bytes)
        fleece = {
            "driver": "file",
            "node-name": self._fleece,
            "filename": str(path),
            "cache": {"no-flush": True},
            "discard": "unmap",
        }
        self._monitor.execute(
            "blockdev-add",
            driver="copy-before-write",
            node_name=self._filter,
            file=self.disk.node,
            target=fleece,  # said inside, so that it goes when the filter goes
            on_cbw_error="break-snapshot",
            cbw_timeout=_GUEST_WAITS_SECONDS,
        )

    def commands(self) -> list[Command]:
        """See Slot."""
        bitmap = {
            "node": self.disk.node,
            "name": self.bitmap,
            "granularity": GRANULARITY,
            "persistent": self.disk.keeps_bitmaps,
        }
        return [Command("block-dirty-bitmap-add", bitmap), drive(self.disk.device, self._filter)]

    def actions(self) -> list[Json]:
        """See Slot."""
        return []

    def show(self) -> str:
        """See Slot."""
        changes = (self.disk.node, self.since or self.bitmap)
        self._monitor.execute(
            "blockdev-add", driver="snapshot-access", node_name=self._view, file=self._filter
        )
        begin_export(self._monitor, self._export, self._view, changes)
        if self._holes:
            begin_export(self._monitor, self._holes, self.disk.node, None)
        fresh = "" if self.since else self.bitmap
        return words_of(self._folder, self._export, bitmap=self.since, fresh=fresh, holes=self._holes)

    def thaw(self) -> None:
        """See Slot.

        A disk gets its own node back only where the filter is under it: QEMU 7.2 aborts, and the
        machine with it, when a device is given the node that it has.
        """
        for export in filter(None, (self._export, self._holes)):
            with suppress(QemuRefused):  # it was never made
                end_export(self._monitor, export)
        self._remove(self._view)
        if nodes_under(self._monitor).get(self.disk.device) == self._filter:
            self._monitor.run([drive(self.disk.device, self.disk.node)])
        self._remove(self._filter)
        with told_of(self._folder):
            (self._folder / self._fleece).unlink(missing_ok=True)

    def _remove(self, node: str) -> None:
        with suppress(QemuRefused):  # it was never made
            self._monitor.execute("blockdev-del", node_name=node)


def drive(device: str, node: str) -> Command:
    """Return the command that puts a node under a device."""
    return Command("qom-set", {"path": device, "property": "drive", "value": node})
