"""Which images are read past the host's cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.host import images
from bascule.drivers.hypervisors.qemu.host.images import past_the_cache
from bascule.model.machines import DiskPlace

pytestmark = pytest.mark.lab


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as on a file system that knows no way past the cache."""
    folder = tmp_path / "memory"
    folder.mkdir()
    real = images._is_direct

    def is_direct(image: Path) -> bool:
        return real(image) and folder not in image.parents

    monkeypatch.setattr(images, "_is_direct", is_direct)
    return folder


def made(path: Path, behind: Path | str = "", size: int = 1 << 20) -> DiskPlace:
    words = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        *(["-u", "-F", "qcow2", "-b", behind] if behind else []),
    ]
    subprocess.run([*words, path, str(size)], check=True)
    return DiskPlace("disk0", str(path))


def test_an_image_on_a_real_disk_is_and_one_in_memory_is_not(tmp_path: Path, memory: Path) -> None:
    here, there = made(tmp_path / "a.qcow2"), made(memory / "a.qcow2")
    served = DiskPlace("disk1", "nbd://host/disk1", "raw")
    assert past_the_cache((here, there, served)) == {here.words}


def test_all_that_is_behind_an_image_counts(tmp_path: Path, memory: Path) -> None:
    made(memory / "base.qcow2")
    made(tmp_path / "base.qcow2")
    assert past_the_cache((made(tmp_path / "over.qcow2", memory / "base.qcow2"),)) == set()
    near = made(tmp_path / "near.qcow2", "base.qcow2")
    assert past_the_cache((near,)) == {near.words}
    far = made(tmp_path / "far.qcow2", "nbd:unix:/run/nbd.sock")
    assert past_the_cache((far,)) == {far.words}


def test_a_raw_image_has_nothing_behind_it_whatever_the_guest_wrote(tmp_path: Path, memory: Path) -> None:
    made(memory / "base.qcow2")
    raw = made(tmp_path / "guest.raw", memory / "base.qcow2")
    assert past_the_cache((DiskPlace("disk0", raw.words, "raw"),)) == {raw.words}


def test_images_that_lead_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    a = made(tmp_path / "a.qcow2", "b.qcow2")
    made(tmp_path / "b.qcow2", "a.qcow2")
    assert past_the_cache((a,)) == {a.words}
