"""Recovery points of an item, and what they are called where no name has a slash."""

from __future__ import annotations

from collections.abc import Mapping
from threading import BoundedSemaphore

from bascule.model.errors import Unavailable
from bascule.model.policies import Consistency
from bascule.ports.sites import RecoveryPoint

from ...answers import Answer, moment, page
from ...asking import Ask
from ...naming import named, resource
from ..sides.containers import container_of, container_words
from .items import found

_TYPE = "replicationFabrics/replicationProtectionContainers/replicationProtectedItems/recoveryPoints"
_KINDS: Mapping[str, str] = {
    Consistency.CRASH: "CrashConsistent",
    Consistency.FILE_SYSTEM: "FileSystemConsistent",
    Consistency.APPLICATION: "ApplicationConsistent",
}


_ROOM = BoundedSemaphore(8)


def list_all(ask: Ask) -> Answer:
    """Return the points of an item, the newest first."""
    points = _points(ask)
    return page(ask, (_point(ask, one) for one in points))


def get(ask: Ask) -> Answer:
    """Return a point."""
    points = _points(ask)
    return Answer(
        body=_point(
            ask, named(points, ask.names["point"], lambda one: point_name(one.name), "recovery point")
        )
    )


def _points(ask: Ask) -> tuple[RecoveryPoint, ...]:
    """Ask for the points; a host that does not answer is waited for, by some of all threads only."""
    if not _ROOM.acquire(blocking=False):
        raise Unavailable("too many wait for lists of points", cure="ask again in a while", code="busy")
    try:
        return ask.service.points.list(ask.caller, ask.vault, found(ask).id)
    finally:
        _ROOM.release()


def point_of(name: str) -> str:
    """Return the point that is called so in an id."""
    group, dot, number = name.rpartition(".")
    return f"{group}/{number}" if dot else name


def point_name(point: str) -> str:
    """Return what a point is called in an id."""
    return ".".join(point.rsplit("/", 1))


def _point(ask: Ask, point: RecoveryPoint) -> Mapping[str, object]:
    item = f"{container_words(container_of(ask))}/replicationProtectedItems/{ask.names['item']}"
    return resource(
        ask.home,
        f"{item}/recoveryPoints/{point_name(point.name)}",
        _TYPE,
        {
            "recoveryPointTime": moment(point.captured_at),
            "recoveryPointType": _KINDS.get(point.consistency, "CrashConsistent"),
        },
    )


HANDLERS = {
    "recovery_points.list_by_replication_protected_items": list_all,
    "recovery_points.get": get,
}
