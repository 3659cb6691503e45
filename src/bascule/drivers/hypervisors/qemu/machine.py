"""A running QEMU, reached by its QMP socket: adopted, frozen again and again, left as it was.

What outlives this process is in QEMU: bitmaps that go on recording. All names of ours
begin with ``bascule-``. After a death at any moment ``settle`` finds what is left by
these names: exports and nodes are taken away, and of the bitmaps the one that the newest point
names is made whole again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bascule.model.errors import Off, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.machines import Recorded, Tracking

from .disks import OURS, Bitmap, Disk, disks_of, has_iothread, nodes_under
from .exports import await_end, serve_in, take_away
from .filtered import FilteredSlot, drive
from .fleeced import LINES, FleecedSlot, end_job, end_lines
from .freezing import FreezingQemu, standing_in
from .frozen import FrozenQemu, Slot, take_back
from .images import check_room, told_of
from .monitor import Monitor, QemuRefused

# A machine whose memory is on its way here, or was sent away: its disks are another QEMU's.
_ELSEWHERE = ("inmigrate", "postmigrate", "finish-migrate")


class QemuMachine:
    """See ``ports.machines.RunningMachine``. ``folder`` takes the fleeces and a socket, and is ours alone."""

    def __init__(self, monitor: Monitor, folder: Path, clock: Clock, ids: Ids) -> None:
        self._monitor = monitor
        self._folder = folder
        self._clock = clock
        self._ids = ids
        self._name: str | None = None  # it does not change as long as the machine lives
        self._is_threaded: dict[str, bool] = {}  # by device; what serves one does not change
        self._freezing: FreezingQemu | None = None  # the last one that may stand still
        with told_of(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @classmethod
    def adopt(cls, qmp: Path, folder: Path, clock: Clock, ids: Ids) -> QemuMachine:
        """Connect to a QEMU that somebody started."""
        monitor = Monitor.connect(qmp)
        try:
            _must_be_here(monitor)
            return cls(monitor, folder, clock, ids)
        except BaseException:
            monitor.close()
            raise

    @property
    def name(self) -> str:
        """Return what QEMU was told to call it, empty if nothing."""
        if self._name is None:
            self._name = str(self._monitor.execute("query-name").get("name", ""))
        return self._name

    def settle(self, tracking: Tracking) -> Tracking:
        """See RunningMachine."""
        self._resume()
        self._clear()
        serve_in(self._monitor, self._folder)
        disks = disks_of(self._monitor)
        found = [(disk, self._settled(disk, tracking.get(disk.id, ""))) for disk in disks]
        return {disk.id: bitmap for disk, bitmap in found if bitmap}

    def _settled(self, disk: Disk, name: str) -> str:
        """Make one bitmap of ours out of those a disk has; return its name if it knows every change."""
        known = {bitmap.name: bitmap for bitmap in disk.bitmaps}
        wanted = known.pop(name, None)
        missed = self._missed(disk, wanted, tuple(known.values()))
        if wanted is not None and missed is None:
            known[name] = wanted
        for other in known.values():
            take_back(self._monitor, disk.node, name if missed and other in missed else "", other.name)
        return "" if missed is None else name

    def freeze(self, since: Tracking) -> FrozenQemu:
        """See RunningMachine."""
        return self._made_ready(since).at_once()

    def prepare(self, since: Tracking) -> FreezingQemu:
        """See RunningMachine."""
        self._freezing = self._made_ready(since)
        self._freezing.write_out()
        return self._freezing

    def _made_ready(self, since: Tracking) -> FreezingQemu:
        _must_be_here(self._monitor)
        token = self._ids.random(4).hex()
        disks = disks_of(self._monitor)
        check_room(self._folder, [disk.size_bytes for disk in disks])
        slots = [
            self._slot(disk, f"{token}-{place}", self._believed(disk, since.get(disk.id, "")))
            for place, disk in enumerate(disks)
        ]
        freezing = FreezingQemu(self._monitor, slots, self._folder, self._clock)
        freezing.prepare()
        return freezing

    def _believed(self, disk: Disk, since: str) -> str:
        """Return the record that a delta can be made by: it is in the image that the disk has now."""
        known = {bitmap.name for bitmap in disk.bitmaps if bitmap.is_recording and bitmap.is_sound}
        return since if since in known else ""

    def _missed(
        self, disk: Disk, wanted: Bitmap | None, others: tuple[Bitmap, ...]
    ) -> tuple[Bitmap, ...] | None:
        """Return which bitmaps recorded what ``wanted`` may not have; None where nobody recorded all of it.

        While it stands still the others recorded. A fleeced disk's that records again may have to be told of
        one that does so too: whoever took an instant back died between the two, or QEMU refused the second.
        (Of a filtered disk none ever stands still.)
        """
        if wanted is None or not wanted.is_sound:
            return None
        if not wanted.is_recording:
            is_known = any(o.is_recording for o in others) and all(o.is_sound for o in others)
            return others if is_known else None
        missed = tuple(other for other in others if other.is_recording)
        return missed if missed and self._is_fleeced(disk) else ()

    def _slot(self, disk: Disk, name: str, since: str) -> Slot:
        kind = FleecedSlot if self._is_fleeced(disk) else FilteredSlot
        return kind(self._monitor, disk, self._folder, name, since)

    def _is_fleeced(self, disk: Disk) -> bool:
        if disk.device not in self._is_threaded:
            try:
                self._is_threaded[disk.device] = has_iothread(self._monitor, disk)
            except QemuRefused as error:  # it was listed a moment ago
                raise Unavailable(
                    f"disk {disk.id} is being taken from the machine", cure="the next try goes on without it"
                ) from error
        return self._is_threaded[disk.device]

    def recorded(self, since: Tracking) -> dict[str, Recorded]:
        """See RunningMachine."""
        _must_be_here(self._monitor)
        return {disk.id: _recorded(disk, since.get(disk.id, "")) for disk in disks_of(self._monitor)}

    def _resume(self) -> None:
        """Let the machine run again if an earlier process stopped it and died; others had their reasons."""
        mark = standing_in(self._folder)
        if mark.exists() and self._monitor.execute("query-status")["status"] == "paused":
            self._monitor.execute("cont")
        with told_of(self._folder):
            mark.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Take away exports, nodes and fleeces of an earlier process."""
        exports = [export["id"] for export in self._monitor.execute("query-block-exports")]
        ours = [export for export in exports if export.startswith(OURS)]
        for export in ours:
            with suppress(QemuRefused):  # it is on its way already
                take_away(self._monitor, export)
        places = len(self._monitor.execute("query-block"))
        end_lines(self._monitor, range(places * LINES))
        for export in ours:
            await_end(self._monitor, export)
        for job in self._monitor.execute("query-jobs"):
            if job["id"].startswith(OURS):
                end_job(self._monitor, job["id"])
        graph = self._monitor.execute("x-debug-query-block-graph")
        names = sorted(str(node["name"]) for node in graph["nodes"])
        self._remove(names, "s-")  # a filter that is looked through holds on to its disk
        self._put_back(graph)
        self._remove(names, "c-")
        self._remove(names, "q-")
        self._remove(names, "f-")
        for path in self._folder.glob(f"{OURS}f-*"):
            path.unlink()

    def _remove(self, names: list[str], kind: str) -> None:
        for name in names:
            if name.startswith(OURS + kind):
                with suppress(QemuRefused):  # it went with the filter that it was made for
                    self._monitor.execute("blockdev-del", node_name=name)

    def _put_back(self, graph: dict[str, Any]) -> None:
        """Put each disk's own image under it where a filter of ours is."""
        below = dict(_below(graph))
        for device, node in nodes_under(self._monitor).items():
            if node.startswith(f"{OURS}c-"):
                self._monitor.run([drive(device, below[node])])

    def close(self) -> None:
        """See RunningMachine."""
        if self._freezing is not None:
            with suppress(Unavailable, QemuRefused):  # it is gone, or runs
                self._freezing.release()
        self._monitor.close()


def _must_be_here(monitor: Monitor) -> None:
    """Raise Off of a machine that runs, or will run, in another QEMU."""
    status = monitor.execute("query-status")["status"]
    if status in _ELSEWHERE:
        raise Off(f"the machine is migrated: {status}", cure="it is found where it runs")


def _recorded(disk: Disk, name: str) -> Recorded:
    sound = (bitmap for bitmap in disk.bitmaps if bitmap.name == name and bitmap.is_sound)
    return Recorded(disk.size_bytes, next((bitmap.changed_bytes for bitmap in sound), None))


def _below(graph: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each filter of ours with the node that it filters."""
    names = {node["id"]: node["name"] for node in graph["nodes"]}
    for edge in graph["edges"]:
        if names[edge["parent"]].startswith(f"{OURS}c-") and edge["name"] == "file":
            yield names[edge["parent"]], names[edge["child"]]
