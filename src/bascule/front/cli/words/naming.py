"""How points and disks are named on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bascule.model.errors import Missing, Refused

if TYPE_CHECKING:
    from bascule.data.store import DiskKey, PointInfo


class PointName(NamedTuple):
    """``GROUP/NUMBER``; without a number the newest point."""

    group: str
    number: int | None

    @classmethod
    def parse(cls, text: str) -> PointName:
        """Read ``GROUP``, ``GROUP/N`` or ``GROUP/latest``."""
        group, slash, number = text.partition("/")
        if not group or (slash and not (number == "latest" or number.isdecimal())):
            raise Refused(
                f"{text!r} does not name a point",
                cure="write GROUP, GROUP/NUMBER or GROUP/latest; `bascule store ls STORE GROUP` lists points",
            )
        return cls(group, int(number) if number.isdecimal() else None)

    @contextmanager
    def sought(self) -> Iterator[None]:
        """Say how to find a point that is there, if this one is not."""
        try:
            yield
        except Missing as error:
            cure = error.cure or f"`bascule store ls STORE {self.group}` lists the points that are there"
            raise Missing(error.message, cure=cure, code=error.code) from error.__cause__


def chosen_disks(point: PointInfo, machine: str, disks: list[str]) -> list[tuple[DiskKey, int]]:
    """Return key and size of the disks that were asked for, in the order of the point; empty asks for all."""
    from bascule.data.store import DiskKey

    found = [
        (DiskKey(m.id, disk.id), disk.size_bytes)
        for m in point.machines
        if not machine or machine in (m.id, m.name)
        for disk in m.disks
        if not disks or disk.id in disks
    ]
    absent = set(disks) - {key.disk for key, _ in found}
    if not found or absent:
        what = f"disk {min(absent)}" if absent else f"machine {machine}"
        has = ", ".join(f"{m.id}/{disk.id}" for m in point.machines for disk in m.disks)
        raise Missing(f"point {point.group}/{point.number} has no {what}", cure=f"it has {has}")
    return found
