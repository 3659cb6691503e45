"""Hold a point for as long as a folder needs it, over any number of processes; ``state`` argues the order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from bascule.data.store import PointReader
from bascule.model.errors import Missing, Refused

from .local.folder import Folder
from .state import STATE, Phase, Served, ServedDisk, advance, load, save


class Points(Protocol):
    """The part of the store's ``Vault`` that is used here."""

    def point(self, group: str, number: int | None = None, *, purpose: str = "") -> PointReader: ...

    def new_pin_id(self) -> str: ...

    def hold(self, group: str, number: int, pin_id: str, *, purpose: str) -> PointReader: ...

    def reopen(self, group: str, number: int, pin_id: str) -> PointReader: ...

    def release(self, group: str, number: int, pin_id: str) -> None: ...


Open = Callable[[], Points]
"""Opens the vault; not called where everything is local."""


class Wanted(NamedTuple):
    """A machine at a point; no number means the newest."""

    group: str
    number: int | None
    machine: str


def claim(folder: Folder, open_points: Open, wanted: Wanted) -> tuple[Served, PointReader | None]:
    """Return what the folder serves, and its point under the folder's pin; no point if all is local.

    A new folder takes a pin; one that was used goes on with its own.
    """
    served = load(folder)
    if served is None:
        served = _choose(folder, open_points(), wanted)
    _check(folder, served, wanted)
    if served.phase is Phase.LOCAL:
        return served, None
    points, place = open_points(), (served.group, served.number, served.pin_id)
    if served.phase is Phase.PINNED:
        return served, points.reopen(*place)
    reader = points.hold(*place, purpose=f"instant recovery of {served.machine}")
    return advance(folder, served, Phase.PINNED), reader


def _choose(folder: Folder, points: Points, wanted: Wanted) -> Served:
    with points.point(wanted.group, wanted.number, purpose="instant recovery") as reader:
        disks = disks_of(reader, wanted.machine)
        served = Served(
            wanted.group, reader.info.number, wanted.machine, disks, points.new_pin_id(), Phase.PINNING
        )
        save(folder, served)
    return served


def _check(folder: Folder, served: Served, wanted: Wanted) -> None:
    if served.phase is Phase.DISCARDING:
        raise Refused(
            f"{folder.name} is being thrown away", cure="finish that first, or choose another folder"
        )
    number = served.number if wanted.number is None else wanted.number
    if (served.group, served.number, served.machine) != (wanted.group, number, wanted.machine):
        raise Refused(
            f"{folder.name} serves {served.machine} at point {served.group}/{served.number}",
            cure="choose another folder, or throw that one away",
        )


def disks_of(reader: PointReader, machine: str) -> tuple[ServedDisk, ...]:
    """Return the disks of a machine at a point."""
    for found in reader.info.machines:
        if found.id == machine:
            return tuple(ServedDisk(disk.id, disk.size_bytes) for disk in found.disks)
    names = ", ".join(sorted(found.id for found in reader.info.machines))
    where = f"{reader.info.group}/{reader.info.number}"
    raise Missing(f"point {where} has no machine {machine}", cure=f"it has {names}")


def settle(folder: Folder, served: Served, open_points: Open) -> Served:
    """Let go of the point, now that everything is local; doing it again is harmless."""
    if not served.pin_id:
        return served
    served = advance(folder, served, Phase.LOCAL)
    open_points().release(served.group, served.number, served.pin_id)
    served = replace(served, pin_id="")
    save(folder, served)
    return served


def let_go(folder: Folder, open_points: Open, remove: Callable[[Served], None]) -> None:
    """Throw away what the folder holds: its files by ``remove``, then the pin, then the state."""
    served = load(folder)
    if served is None:
        return
    served = advance(folder, served, Phase.DISCARDING)
    remove(served)
    if served.pin_id:
        open_points().release(served.group, served.number, served.pin_id)
    folder.remove(STATE)
    folder.sync()
