"""The disks of a running QEMU: what a guest may write to, and what records their changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bascule.model.errors import Refused

from .monitor import Monitor, QemuRefused

OURS = "bascule-"
_DEEP = 2  # slashes of /machine/peripheral, which is no device
_IOTHREADS = ("iothread", "iothread-vq-mapping")
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Bitmap:
    """A dirty bitmap of ours."""

    name: str
    is_recording: bool
    is_sound: bool
    changed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as the guest has it: ``device`` is its place in QEMU's object tree, ``node`` its image."""

    id: str
    device: str
    node: str
    size_bytes: int
    file: str
    keeps_bitmaps: bool
    is_layered: bool
    bitmaps: tuple[Bitmap, ...]


def disks_of(monitor: Monitor) -> list[Disk]:
    """Return the disks that a guest may write to, or say that there is none."""
    found = [_disk(block) for block in monitor.execute("query-block") if _is_written(block)]
    if not found:
        raise Refused("this machine has no disk that it may write to", cure="there is nothing to replicate")
    return found


def _is_written(block: dict[str, Any]) -> bool:
    return bool(block.get("qdev")) and "inserted" in block and not block["inserted"]["ro"]


def _device(block: dict[str, Any]) -> str:
    """Return the place of a disk in QEMU's object tree, empty if it has none."""
    device: str = block.get("qdev", "").removesuffix("/virtio-backend")
    return device if device.startswith("/") or not device else f"/machine/peripheral/{device}"


def nodes_under(monitor: Monitor) -> dict[str, str]:
    """Return which node is under each device now."""
    blocks = monitor.execute("query-block")
    return {_device(block): block["inserted"]["node-name"] for block in blocks if "inserted" in block}


def _disk(block: dict[str, Any]) -> Disk:
    device = _device(block)
    inserted = block["inserted"]
    return Disk(
        id=_ODD.sub("-", device.rsplit("/", 1)[1]).strip("-"),
        device=device,
        node=inserted["node-name"],
        size_bytes=inserted["image"]["virtual-size"],
        file=inserted["file"],
        keeps_bitmaps=inserted["drv"] == "qcow2",
        is_layered=inserted["backing_file_depth"] > 0,
        bitmaps=tuple(bitmaps_in(inserted)),
    )


def has_iothread(monitor: Monitor, disk: Disk) -> bool:
    """Tell whether an iothread serves a disk: its own, or one of the controller that it hangs on."""
    return any(_is_set(monitor, place, name) for place in _places(monitor, disk) for name in _IOTHREADS)


def _places(monitor: Monitor, disk: Disk) -> Iterator[str]:
    """Yield a disk's place in QEMU's object tree, and those that its bus is a part of."""
    yield disk.device
    bus = monitor.execute("qom-get", path=disk.device, property="parent_bus")
    while bus.startswith("/machine/") and bus.count("/") > _DEEP:
        bus = bus.rpartition("/")[0]
        yield bus


def _is_set(monitor: Monitor, path: str, name: str) -> bool:
    try:
        return bool(monitor.execute("qom-get", path=path, property=name))
    except QemuRefused:  # it has no such property
        return False


def bitmaps_in(node: dict[str, Any]) -> Iterator[Bitmap]:
    """Yield our bitmaps among those of a node, as QEMU describes it."""
    for found in node.get("dirty-bitmaps", ()):
        name = found.get("name", "")
        if name.startswith(OURS):
            yield Bitmap(name, found["recording"], not found.get("inconsistent", False), found["count"])
