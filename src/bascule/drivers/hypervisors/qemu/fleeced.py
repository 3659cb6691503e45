"""A disk with an iothread, frozen by a backup job that copies nothing but what the guest overwrites.

QEMU 7.2 aborts when a filter is put under a disk that an iothread serves (``filtered``). A job
with ``sync=none`` it bears. The order:

1. an empty qcow2 whose backing file is the disk itself, the fleece;
2. the instant, a transaction: the new bitmap begins to record, the old one ends, the job begins;
3. the fleece is exported with the old bitmap.

Two dangers come with it. A fleece that is full is an error of the guest's write, so room for the whole
disk is reserved before the instant, and where that is not to be had nothing is frozen. And
QEMU 7.2 aborts when a client leaves an export that runs in an iothread. So the client's end of each
connection is handed to QEMU as well (``getfd``) before it says a word: whatever becomes of us, no
connection ends. The export is taken away while they stand, which is safe; then both ends are closed,
without which QEMU 7.2 would wait for ever to send what a dead client had asked for; then it is gone.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from bascule.model.errors import Unavailable
from bascule.wire.nbd.lent import lend, take_back

from .disks import OURS, Disk
from .exports import await_end, begin_export, socket_in, take_away, words_of
from .filtered import GRANULARITY
from .images import told_of, write_empty_qcow2
from .monitor import Command, Json, Monitor, QemuRefused

LINES = 8
"""Connections to each export at most."""

_LINE = f"{OURS}line-"


class FleecedSlot:
    """See ``frozen.Slot``. ``place`` is which of the machine's disks it is."""

    def __init__(self, monitor: Monitor, disk: Disk, folder: Path, name: str, since: str) -> None:
        self._monitor = monitor
        self._folder = folder
        self.disk = disk
        self.since = since
        token, _, place = name.partition("-")
        self.bitmap = OURS + token
        self._first_line = int(place) * LINES
        self._lines: list[socket.socket] = []
        self._one_by_one = threading.Lock()
        self._lender = ""
        self._file = f"{OURS}f-{name}"
        self._fleece = f"{OURS}q-{name}"
        self._job = f"{OURS}j-{name}"
        self._export = f"{OURS}{name}"

    def prepare(self) -> None:
        """See Slot."""
        path = self._folder / self._file
        with told_of(self._folder):
            write_empty_qcow2(path, self.disk.size_bytes)
        run = self._monitor.execute
        run(
            "blockdev-add",
            driver="file",
            node_name=self._file,
            filename=str(path),
            cache={"no-flush": True},
        )
        run(
            "blockdev-add",
            driver="qcow2",
            node_name=self._fleece,
            file=self._file,
            backing=self.disk.node,
        )

    def commands(self) -> list[Command]:
        """See Slot."""
        return []

    def actions(self) -> list[Json]:
        """See Slot."""
        node = self.disk.node
        begins = {
            "node": node,
            "name": self.bitmap,
            "granularity": GRANULARITY,
            "persistent": self.disk.keeps_bitmaps,
        }
        job = {"job-id": self._job, "device": node, "target": self._fleece, "sync": "none"}
        actions: list[Json] = [{"type": "block-dirty-bitmap-add", "data": begins}]
        if self.since:
            ends = {"node": node, "name": self.since}
            actions.append({"type": "block-dirty-bitmap-disable", "data": ends})
        return [*actions, {"type": "blockdev-backup", "data": job}]

    def show(self) -> str:
        """See Slot."""
        changes = (self.disk.node, self.since) if self.since else None
        begin_export(self._monitor, self._export, self._fleece, changes)
        self._lender = lend(self._connect)
        return words_of(self._folder, self._export, bitmap=self.since, lender=self._lender)

    def _connect(self) -> socket.socket:
        """Connect to the export, with an end that lives as long as QEMU; called by those who read."""
        with self._one_by_one:
            if len(self._lines) == LINES:
                raise Unavailable(f"disk {self.disk.id} is read over {LINES} connections and bears no more")
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(socket_in(self._folder)))
                self._monitor.hand_over(f"{_LINE}{self._first_line + len(self._lines)}", line.fileno())
            except OSError as error:
                line.close()
                raise Unavailable(f"QEMU does not serve disk {self.disk.id}: {error.strerror}") from error
            except BaseException:
                line.close()
                raise
            self._lines.append(line)
            return line.dup()

    def thaw(self) -> None:
        """See Slot."""
        take_back(self._lender)
        is_exported = True
        try:
            take_away(self._monitor, self._export)
        except QemuRefused:  # it was never made
            is_exported = False
        end_lines(self._monitor, range(self._first_line, self._first_line + len(self._lines)))
        for line in self._lines:
            line.close()
        self._lines = []
        if is_exported:
            await_end(self._monitor, self._export)
        end_job(self._monitor, self._job)
        for node in (self._fleece, self._file):
            with suppress(QemuRefused):  # it was never made
                self._monitor.execute("blockdev-del", node_name=node)
        with told_of(self._folder):
            (self._folder / self._file).unlink(missing_ok=True)


def end_lines(monitor: Monitor, numbers: range) -> None:
    """Close QEMU's ends of connections whose exports were taken away; missing ones are passed over."""
    with suppress(QemuRefused):
        monitor.run([Command("closefd", {"fdname": f"{_LINE}{number}"}) for number in numbers])


def end_job(monitor: Monitor, job: str) -> None:
    """Cancel a job and wait until nothing is left of it; one that is not there is passed over."""
    with suppress(QemuRefused):
        monitor.execute("block-job-cancel", device=job, force=True)
        monitor.wait_for(
            "JOB_STATUS_CHANGE", lambda data: bool(data["id"] == job and data["status"] == "null")
        )
