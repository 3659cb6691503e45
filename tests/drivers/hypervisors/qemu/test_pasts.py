"""Whatever a guest does around an instant, and while it is read, the point is what its disks were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.hypervisors.pasts import DISKS, Past

from .test_machine import Qemu

pytestmark = pytest.mark.lab

KINDS = {
    "qcow2": (),
    "raw": (),
    "qcow2 of large clusters": ("-o", "cluster_size=2M"),
    "qcow2 of small clusters": ("-o", "cluster_size=4k"),
}
DISCARDS = ",discard=unmap,file.discard=unmap"


def live(room: Path, kind: str, seeds: range, instants: int) -> None:
    image = kind.partition(" ")[0]
    host = Qemu(room, image, made=KINDS[kind], opened=DISCARDS)
    try:
        for seed in seeds:
            past = Past(host, dict.fromkeys(DISKS, image), seed)
            past.live(instants)
            past.close()
    finally:
        host.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_is_what_the_disks_were_whatever_is_zeroed_or_discarded_after_it(
    tmp_path: Path, kind: str
) -> None:
    live(tmp_path, kind, range(2), instants=6)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_points_are_what_the_disks_were(tmp_path: Path, kind: str) -> None:
    live(tmp_path, kind, range(100, 130), instants=10)
