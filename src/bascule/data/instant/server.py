"""Serve all disks of one machine at a recovery point, at once.

One process a machine: a restart of anything else never stalls a guest. Below each
export lie, from the bottom, the point (read through a cache), a local base if it is
being hydrated or was, and an overlay if the guest may write:

    export -> overlay -> local base -> point -> store

The folder keeps what outlives the process: the pin on the point, bases and overlays.
It is served by one process at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bascule.data.store import DiskKey, DiskReader, PointReader
from bascule.model.errors import BasculeError, Missing, Refused
from bascule.ports.chance import Clock
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.export import Export
from bascule.wire.nbd.server import Ended, Server
from bascule.wire.nbd.session import USUAL, Limits, ServerTls

from .base import Base
from .courtesy import SETTLING_SECONDS, Courtesy, Traffic
from .export import ReadOnlyExport, WritableExport
from .holding import Open, Wanted, claim, disks_of, let_go, settle
from .local.folder import Folder, LocalFolder
from .point.disk import PointDisk
from .point.frames import CACHE_BYTES, CacheFigures, FrameCache
from .point.patience import Patience
from .state import Phase, Served, ServedDisk

# Loaded when a disk is written to or hydrated: a machine waits for the start.
if TYPE_CHECKING:
    from .hydrate import Hydration, HydrationProgress, Pace
    from .local_base import LocalBase
    from .overlay import GuestSince, Overlay

_GRACE_SECONDS, _GRACE_AWAY_SECONDS = 10.0, 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a machine is served.

    ``wait_seconds`` is how long a read waits for a store that is away, None for ever.
    ``guest`` says what became of the guest since the overlay was last served; without
    it, a guest on a Unix socket is taken for local and one on TCP for remote.
    ``settling_seconds`` is how long hydration waits for a writable disk's guest to boot, at most.
    """

    address: Address
    tls: ServerTls | None = None
    writable: bool = False
    hydrate: bool = False
    wait_seconds: float | None = None
    cache_bytes: int = CACHE_BYTES
    pace: Pace | None = None
    guest: GuestSince | None = None
    settling_seconds: float = SETTLING_SECONDS
    limits: Limits = USUAL

    @property
    def needs_folder(self) -> bool:
        """Tell whether something has to be kept on a local disk."""
        return self.writable or self.hydrate


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """One disk as it is served."""

    id: str
    size_bytes: int
    written_bytes: int
    hydration: HydrationProgress | None
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """One look at a server."""

    address: Address
    group: str
    number: int
    machine: str
    needs_store: bool
    store_is_away: bool
    cache: CacheFigures
    disks: tuple[DiskStatus, ...]


class _Disk:
    """The layers of one disk, those it has."""

    def __init__(self, disk: ServedDisk, point: PointDisk | None) -> None:
        self.disk = disk
        self.point = point
        self.local: LocalBase | None = None
        self.hydration: Hydration | None = None
        self.overlay: Overlay | None = None

    @property
    def base(self) -> Base:
        found = self.local or self.point
        if found is None:
            raise Missing(f"disk {self.disk.id} has neither a point nor a local base")
        return found

    def export(self, traffic: Traffic) -> Export:
        return WritableExport(self.overlay, traffic) if self.overlay else ReadOnlyExport(self.base, traffic)

    def status(self) -> DiskStatus:
        written = sum(extent.length for extent in self.overlay.written()) if self.overlay else 0
        hydration = self.hydration.progress if self.hydration else None
        damaged = (self.point.damaged if self.point else []) + (
            self.hydration.damaged if self.hydration else []
        )
        return DiskStatus(
            self.disk.id, self.disk.size_bytes, written, hydration, tuple(dict.fromkeys(damaged))
        )


class PointServer:
    """Serves one machine; ``start`` it and ``stop`` it once."""

    def __init__(
        self,
        open_points: Open,
        wanted: Wanted,
        terms: Terms,
        clock: Clock,
        folder: Path | None = None,
        folders: Callable[[Path], Folder] = LocalFolder,
    ) -> None:
        if terms.needs_folder and folder is None:
            raise Refused("writes and hydration need a local folder", cure="name one, or serve read-only")
        self._open_points = open_points
        self._wanted = wanted
        self._terms = terms
        self._path = folder
        self._folders = folders
        self._patience = Patience(clock, terms.wait_seconds)
        self._cache = FrameCache(terms.cache_bytes)
        self._traffic = Traffic()
        self._courtesy = Courtesy(
            self._traffic,
            self._cache.step_aside,
            clock.monotonic,
            settling_seconds=terms.settling_seconds if terms.writable else 0.0,
        )
        self._closing = ExitStack()
        self._disks: list[_Disk] = []
        self._server: Server | None = None
        self._folder: Folder | None = None
        self._served: Served
        self._watcher = threading.Thread(target=self._watch, name="instant-watch", daemon=True)
        self.settled = threading.Event()  # set when every hydration ended, one way or another

    def start(self) -> None:
        """Open everything and serve; what cannot be opened is raised, and nothing is left open."""
        try:
            self._open()
        except BaseException:
            self._closing.close()
            raise
        for disk in self._disks:
            if disk.hydration is not None:
                disk.hydration.start()
        self._watcher.start()

    def _open(self) -> None:
        self._closing.callback(self._cache.close)
        reader = self._claim()
        # After the hydrations were stopped and before the folder is closed.
        self._closing.callback(self._join_watcher)
        for place, disk in enumerate(self._served.disks):
            self._disks.append(self._open_disk(place, disk, reader))
        exports = {disk.disk.id: disk.export(self._traffic) for disk in self._disks}
        terms = self._terms
        self._server = Server(exports, terms.address, tls=terms.tls, limits=terms.limits, report=_report)
        self._server.start()
        # First the server: a guest that waits for a store that is away loses its connection and comes back,
        # which it survives; an error it might not.
        self._closing.callback(self._patience.end)
        self._closing.callback(self._stop_server, self._server)

    def _join_watcher(self) -> None:
        if self._watcher.ident is not None:
            self._watcher.join()

    def _stop_server(self, server: Server) -> None:
        server.stop(_GRACE_AWAY_SECONDS if self._patience.is_away else _GRACE_SECONDS)

    def _claim(self) -> PointReader | None:
        if self._path is None:
            reader = self._open_points().point(self._wanted.group, self._wanted.number, purpose="serving")
            self._closing.callback(reader.close)
            disks = disks_of(reader, self._wanted.machine)
            self._served = Served(self._wanted.group, reader.info.number, self._wanted.machine, disks, "")
            return reader
        self._folder = self._local(self._path)
        self._folder.lock()
        self._served, held = claim(self._folder, self._open_points, self._wanted)
        return held

    def _open_disk(self, place: int, disk: ServedDisk, reader: PointReader | None) -> _Disk:
        source = reader.disk(DiskKey(self._served.machine, disk.id)) if reader else None
        where = (
            f"disk {disk.id} of {self._served.machine} at point {self._served.group}/{self._served.number}"
        )
        opened = _Disk(disk, PointDisk(source, self._cache, self._patience, where) if source else None)
        base = self._subfolder(place, "base")
        if base is not None and (self._terms.hydrate or base.exists()):
            self._open_base(opened, base, source)
        overlay = self._subfolder(place, "overlay")
        if overlay is not None and self._terms.writable:
            from .overlay import GuestSince, Overlay

            guest = self._terms.guest or (GuestSince.LOCAL if self._terms.address.path else GuestSince.REMOTE)
            opened.overlay = Overlay.open(self._local(overlay), opened.base, guest=guest)
            self._closing.callback(opened.overlay.close)
        return opened

    def _open_base(self, opened: _Disk, base: Path, source: DiskReader | None) -> None:
        from .local_base import PROGRESS, LocalBase

        if not self._terms.hydrate and not (base / PROGRESS).exists():
            return
        opened.local = LocalBase(self._local(base), opened.point, opened.disk.size_bytes)
        self._closing.callback(opened.local.close)
        if source is not None and self._terms.hydrate:
            from .hydrate import Hydration, Manners

            manners = Manners(self._patience, self._courtesy, self._terms.pace)
            opened.hydration = Hydration(source, opened.local, manners)
            self._closing.callback(opened.hydration.stop)

    def _local(self, path: Path) -> Folder:
        folder = self._folders(path)
        self._closing.callback(folder.close)
        return folder

    def _subfolder(self, place: int, what: str) -> Path | None:
        return None if self._path is None else self._path / f"{place}-{what}"

    def _watch(self) -> None:
        for disk in self._disks:
            if disk.hydration is not None:
                disk.hydration.wait()
        self._settle()
        self.settled.set()

    def _settle(self) -> None:
        """Let go of the point if every disk is here; if the store is away now, the next start tries again."""
        if self._folder is None or not all(disk.local and disk.local.is_complete for disk in self._disks):
            return
        try:
            self._served = settle(self._folder, self._served, self._open_points)
        except BasculeError as error:
            log.warning("instant.pin_not_released", error=str(error))

    @property
    def address(self) -> Address:
        """Return where it serves; the export of each disk has the disk's id for a name."""
        return self._server.address if self._server else self._terms.address

    @property
    def status(self) -> Status:
        """Look at the server."""
        return Status(
            self.address,
            self._served.group,
            self._served.number,
            self._served.machine,
            self._served.phase is not Phase.LOCAL,
            self._patience.is_away,
            self._cache.figures,
            tuple(disk.status() for disk in self._disks),
        )

    def stop(self) -> None:
        """Finish what clients asked for, make it durable, and let go of everything; the pin stays."""
        self._closing.close()


def throw_away(open_points: Open, path: Path) -> None:
    """Remove a folder that no process serves: its overlays, its bases, its pin."""
    import shutil

    folder = LocalFolder(path)
    try:
        folder.lock()
        let_go(folder, open_points, lambda served: _remove_files(path, served))
    finally:
        folder.close()
    shutil.rmtree(path)


def _remove_files(path: Path, served: Served) -> None:
    import shutil

    for place in range(len(served.disks)):
        for what in ("overlay", "base"):
            shutil.rmtree(path / f"{place}-{what}", ignore_errors=True)


def _report(ended: Ended) -> None:
    if ended.error:
        log.warning("instant.connection_lost", peer=ended.peer, export=ended.export, error=ended.error)
