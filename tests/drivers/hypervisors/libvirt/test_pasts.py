"""Whatever a guest does around an instant, and beside the copy, the point is what its disks were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.hypervisors.pasts import DISKS, Past
from tests.servers.libvirtd import Libvirtd

from .test_machine import Domain

pytestmark = pytest.mark.lab

DRIVERS = {"served": "discard='unmap'", "copied": "discard='unmap' iothread='1'"}
IMAGES = ("qcow2", "raw")


def live(libvirtd: Libvirtd, room: Path, way: str, seeds: range, instants: int) -> None:
    host = Domain(libvirtd, room, images=IMAGES, driver=DRIVERS[way])
    try:
        for seed in seeds:
            past = Past(host, dict(zip(DISKS, IMAGES, strict=True)), seed)
            past.live(instants)
            past.close()
    finally:
        host.domain.destroy()
        host.end()


@pytest.mark.parametrize("way", DRIVERS)
def test_a_point_is_what_the_disks_were_whatever_is_zeroed_or_discarded_after_it(
    libvirtd: Libvirtd, tmp_path: Path, way: str
) -> None:
    live(libvirtd, tmp_path, way, range(2), instants=6)
