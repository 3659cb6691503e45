"""All disks of a running QEMU at one instant, served by QEMU itself over NBD.

Below each disk a filter (copy-before-write) keeps what the guest overwrites in a sparse
file, the fleece; a node above it (snapshot-access) shows the disk as it was. A full
fleece breaks the snapshot and never the guest. The order for each disk:

1. the fleece, and the filter over it, beside the disk;
2. the instant: a new bitmap begins to record, then the filter goes under the disk;
3. the old bitmap stops recording, and is exported with the snapshot.

Between the two halves of 2, and until 3, both bitmaps record: each holds at least what
it must, and what is read comes from the snapshot. A disk alone needs no pause. Several
are frozen between ``stop`` and ``cont``, which are sent with all that is between them
in one piece, over a connection that outlives this process (``keeper``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bascule.model.errors import Unavailable
from bascule.ports.machines import FrozenDisk, Tracking

from .disks import OURS, Disk, nodes_under
from .images import WriteBack, told_of
from .keeper import kept_open
from .monitor import Command, Json, Monitor, QemuRefused

GRANULARITY = 65536
_GUEST_WAITS_SECONDS = 30


class Slot:
    """One disk being frozen, and the names of what is made for it."""

    def __init__(self, disk: Disk, place: int, token: str, since: str) -> None:
        self.disk = disk
        self.since = since
        self.bitmap = f"{OURS}{token}"
        self.fleece = f"{OURS}f-{token}-{place}"
        self.filter = f"{OURS}c-{token}-{place}"
        self.view = f"{OURS}s-{token}-{place}"
        self.export = f"{OURS}{token}-{place}"

    def instant(self) -> list[Command]:
        """Return the commands that freeze this disk."""
        bitmap = {
            "node": self.disk.node,
            "name": self.bitmap,
            "granularity": GRANULARITY,
            "persistent": self.disk.keeps_bitmaps,
        }
        return [Command("block-dirty-bitmap-add", bitmap), drive(self.disk.device, self.filter)]


def drive(device: str, node: str) -> Command:
    """Return the command that puts a node under a device."""
    return Command("qom-set", {"path": device, "property": "drive", "value": node})


class FrozenQemu:
    """See ``ports.machines.Frozen``."""

    def __init__(self, monitor: Monitor, slots: list[Slot], folder: Path, captured_at: float) -> None:
        self._monitor = monitor
        self._slots = slots
        self._folder = folder
        self._write_back: WriteBack | None = None
        self.captured_at = captured_at

    @property
    def disks(self) -> tuple[FrozenDisk, ...]:
        """See Frozen."""
        return tuple(self._shown(slot) for slot in self._slots)

    def _shown(self, slot: Slot) -> FrozenDisk:
        words = f"nbd+unix:///{slot.export}?socket={socket_in(self._folder)}"
        if slot.since:
            words += f"&bitmap={slot.since}"
        return FrozenDisk(slot.disk.id, slot.disk.size_bytes, words, bool(slot.since))

    @property
    def tracking(self) -> Tracking:
        """See Frozen."""
        return {slot.disk.id: slot.bitmap for slot in self._slots}

    def freeze(self) -> None:
        """Do what the order above says; leave nothing behind where that fails."""
        with ExitStack() as undo:
            undo.callback(self._count_from_before)
            undo.callback(self._thaw)
            for slot in self._slots:
                self._prepare(slot)
            self._instant()
            for slot in self._slots:
                self._show(slot)
            undo.pop_all()
        self._write_back = WriteBack([slot.disk.file for slot in self._slots])

    def _prepare(self, slot: Slot) -> None:
        path = self._folder / slot.fleece
        with told_of(self._folder), open(path, "xb") as file:
            file.truncate(slot.disk.size_bytes)
        run = self._monitor.execute
        cache = {"no-flush": True}
        run(
            "blockdev-add",
            driver="file",
            node_name=slot.fleece,
            filename=str(path),
            cache=cache,
            discard="unmap",
        )
        run(
            "blockdev-add",
            driver="copy-before-write",
            node_name=slot.filter,
            file=slot.disk.node,
            target=slot.fleece,
            on_cbw_error="break-snapshot",
            cbw_timeout=_GUEST_WAITS_SECONDS,
        )

    def _instant(self) -> None:
        commands = [command for slot in self._slots for command in slot.instant()]
        if len(self._slots) == 1 or not self._monitor.execute("query-status")["running"]:
            self._monitor.run(commands)
            return
        # ``stop`` flushes too, and nobody may write meanwhile.
        WriteBack([slot.disk.file for slot in self._slots]).wait()
        with _noted(self._folder), kept_open(self._monitor.descriptor):
            self._monitor.run([Command("stop"), *commands, Command("cont")])

    def _show(self, slot: Slot) -> None:
        run, node = self._monitor.execute, slot.disk.node
        shown: dict[str, object] = {}
        if slot.since:
            run("block-dirty-bitmap-disable", node=node, name=slot.since)
            shown = {"bitmaps": [{"node": node, "name": slot.since}]}
        run("blockdev-add", driver="snapshot-access", node_name=slot.view, file=slot.filter)
        run(
            "block-export-add",
            type="nbd",
            id=slot.export,
            node_name=slot.view,
            name=slot.export,
            writable=False,
            **shown,
        )

    def keep(self) -> None:
        """See Frozen."""
        self._thaw()
        for slot in self._slots:
            if slot.since:
                self._monitor.execute("block-dirty-bitmap-remove", node=slot.disk.node, name=slot.since)

    def drop(self) -> None:
        """See Frozen."""
        self._thaw()
        self._count_from_before()

    def _count_from_before(self) -> None:
        for slot in self._slots:
            with suppress(QemuRefused):  # it never began to record
                take_back(self._monitor, slot.disk.node, slot.since, slot.bitmap)

    def _thaw(self) -> None:
        """Take away what was made for the disks, as far as it was made.

        A disk gets its own node back only where the filter is under it: QEMU 7.2 aborts, and the
        machine with it, when a device is given the node that it has.
        """
        if self._write_back is not None:
            self._write_back.wait()
        for slot in self._slots:
            with suppress(QemuRefused):
                end_export(self._monitor, slot.export)
            self._remove(slot.view)
        under = nodes_under(self._monitor)
        for slot in self._slots:
            if under.get(slot.disk.device) == slot.filter:
                self._monitor.run([drive(slot.disk.device, slot.disk.node)])
            self._remove(slot.filter)
            self._remove(slot.fleece)
            with told_of(self._folder):
                (self._folder / slot.fleece).unlink(missing_ok=True)

    def _remove(self, node: str) -> None:
        with suppress(QemuRefused):  # it was never made
            self._monitor.execute("blockdev-del", node_name=node)


def take_back(monitor: Monitor, node: str, since: str, bitmap: str) -> None:
    """Add to ``since`` what ``bitmap`` recorded, and remove that; without ``since`` remove it only.

    The old one records again before it is told what it missed, so no change is lost whenever this ends.
    """
    if since:
        monitor.execute("block-dirty-bitmap-enable", node=node, name=since)
        monitor.execute("block-dirty-bitmap-merge", node=node, target=since, bitmaps=[bitmap])
    monitor.execute("block-dirty-bitmap-remove", node=node, name=bitmap)


def end_export(monitor: Monitor, export: str) -> None:
    """Take an export away and wait until it is gone, or raise QemuRefused if there is none."""
    monitor.execute("block-export-del", id=export, mode="hard")
    monitor.wait_for("BLOCK_EXPORT_DELETED", lambda data: is_of(data, export))


def is_of(data: Json, export: str) -> bool:
    """Tell whether an event is about an export."""
    return bool(data.get("id") == export)


def socket_in(folder: Path) -> Path:
    """Return where QEMU serves what is frozen."""
    return folder / "nbd"


@contextmanager
def _noted(folder: Path) -> Iterator[None]:
    """Note that the machine stands still, until QEMU has answered: without that it may go on standing."""
    mark = standing_in(folder)
    with told_of(folder):
        mark.touch()
    try:
        yield
    except QemuRefused:
        mark.unlink(missing_ok=True)
        raise
    mark.unlink(missing_ok=True)


def standing_in(folder: Path) -> Path:
    """Return the file that says that we are stopping the machine, should we and the keeper die of it."""
    return folder / "standing"


def serve_in(monitor: Monitor, folder: Path) -> None:
    """Have QEMU serve its exports on a socket in ``folder``; a server that is there already is ours."""
    path = socket_in(folder)
    address: Mapping[str, object] = {"type": "unix", "data": {"path": str(path)}}
    try:
        monitor.execute("nbd-server-start", addr=address)
    except QemuRefused as error:
        if not path.is_socket():
            raise Unavailable(
                "this machine serves NBD exports of somebody else", cure="end that, then try again"
            ) from error
    path.chmod(0o600)
