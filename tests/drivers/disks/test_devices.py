"""Real block devices: loop devices over a file, which only root may set up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.drivers.disks.devices import serial_of
from bascule.drivers.disks.raw import RawSink, RawSource
from bascule.model.errors import Exists, Refused, Unavailable
from bascule.ports.disks import DiskSink, DiskSource
from tests.contracts.disks import (
    MIB,
    DiskSinkContract,
    DiskSourceContract,
    NewDisk,
    OpenDisk,
    read,
    sample,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may set up loop devices and mount"),
]

Loop = Callable[[bytes], Path]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """Make loop devices, and give the stable name of each: a link in a folder of this test."""
    devices: list[str] = []
    (tmp_path / "by-id").mkdir()

    def make(content: bytes) -> Path:
        backing = tmp_path / f"backing-{len(devices)}"
        backing.write_bytes(content)
        devices.append(output("losetup", "--find", "--show", str(backing)))
        link = tmp_path / "by-id" / f"loop-{len(devices)}"
        link.symlink_to(devices[-1])
        return link

    yield make
    for device in devices:
        output("losetup", "--detach", device)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def sink_on(link: Path, size: int, serial: str | None = None) -> RawSink:
    return RawSink(link, size, existing="replace", serial=serial, stable=(link.parent,))


class TestDeviceSource(DiskSourceContract):
    sizes = (3 * MIB, 3 * MIB + 65536 + 512)
    knows_holes = False

    @pytest.fixture
    def open_disk(self, loop: Loop) -> Iterator[OpenDisk]:
        opened: list[DiskSource] = []

        def open_(content: bytes) -> DiskSource:
            opened.append(RawSource(loop(content)))
            return opened[-1]

        yield open_
        for source in opened:
            source.close()


class TestDeviceSink(DiskSinkContract):
    sizes = (3 * MIB, 3 * MIB + 65536 + 512)
    is_zeroed = False

    @pytest.fixture
    def new_disk(self, loop: Loop) -> Iterator[NewDisk]:
        opened: list[DiskSink] = []
        links: list[Path] = []

        def open_(size: int) -> DiskSink:
            links.append(loop(b"\xaa" * size))
            opened.append(sink_on(links[-1], size))
            return opened[-1]

        def content() -> bytes:
            return links[-1].read_bytes()

        yield NewDisk(open_, content)
        for sink in opened:
            sink.close()


def test_a_device_is_not_overwritten_unasked(loop: Loop) -> None:
    with pytest.raises(Exists, match="is a device, and whatever it holds would be lost"):
        RawSink(loop(bytes(MIB)), MIB)


def test_a_device_by_a_passing_name_is_refused_and_told_its_stable_one(loop: Loop) -> None:
    link = loop(bytes(MIB))
    with pytest.raises(Refused, match=f"another disk after a restart.*{link}"):
        RawSink(link.resolve(), MIB, existing="replace", stable=(link.parent,))


def test_a_device_of_another_size_is_refused(loop: Loop) -> None:
    with pytest.raises(Refused, match=r"has 1048576 bytes, the disk to write has 2097152 .*exactly"):
        sink_on(loop(bytes(MIB)), 2 * MIB)


def test_a_mounted_device_is_refused_and_its_mount_named(loop: Loop, tmp_path: Path) -> None:
    link = loop(bytes(4 * MIB))
    output("mkfs.ext4", "-q", str(link.resolve()))
    (tmp_path / "mnt").mkdir()
    output("mount", str(link.resolve()), str(tmp_path / "mnt"))
    try:
        with pytest.raises(Refused, match=f"is held: it is mounted at {tmp_path}/mnt"):
            sink_on(link, 4 * MIB)
    finally:
        output("umount", str(tmp_path / "mnt"))
    sink_on(link, 4 * MIB).close()


def test_a_device_that_another_sink_holds_is_refused(loop: Loop) -> None:
    link = loop(bytes(MIB))
    first = sink_on(link, MIB)
    with pytest.raises(Refused, match="is held: it is swap space, or another program has it"):
        sink_on(link, MIB)
    first.close()
    sink_on(link, MIB).close()


def test_a_device_with_another_serial_is_refused(loop: Loop) -> None:
    link, other = loop(bytes(MIB)), loop(bytes(MIB))
    fd = os.open(link, os.O_RDONLY)
    serial = serial_of(fd)
    os.close(fd)
    assert serial
    sink_on(link, MIB, serial).close()
    with pytest.raises(Refused, match=f"not {serial} .*choose the disk again"):
        sink_on(other, MIB, serial)


def test_a_full_file_system_under_a_sink_is_unavailable(tmp_path: Path) -> None:
    output("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path))
    try:
        sink = RawSink(tmp_path / "disk.raw", 64 * MIB)
        with pytest.raises(Unavailable, match=r"write .*no space left on device \(free some space\)"):
            sink.write(0, memoryview(b"\1" * 2 * MIB))
        sink.close()
    finally:
        output("umount", str(tmp_path))


def test_a_device_reads_around_the_cache(loop: Loop) -> None:
    content = sample(2 * MIB)
    source = RawSource(loop(content), direct=True)
    assert read(source, 0, 2 * MIB) == content
    source.close()
