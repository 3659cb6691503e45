"""Against qemu-nbd and nbdkit, as they come and as filters make them: without holes, with large units."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bascule.blocks.extents import Extent
from bascule.drivers.disks.connections import Connections
from bascule.drivers.disks.nbd import NbdSink, NbdSource
from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.ports.disks import DiskSink, DiskSource
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.connecting import Access
from tests.contracts.disks import (
    MIB,
    DiskSinkContract,
    DiskSourceContract,
    NewDisk,
    OpenDisk,
    read,
    sample,
)
from tests.servers.nbd import NbdServers, content_of


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NbdServers]:
    with NbdServers(tmp_path) as running:
        yield running


class TestQemuSource(DiskSourceContract):
    def serve(self, servers: NbdServers, path: Path) -> Address:
        return servers.qemu(path, "--read-only", "--shared=8")

    @pytest.fixture
    def open_disk(self, tmp_path: Path, servers: NbdServers) -> Iterator[OpenDisk]:
        opened: list[DiskSource] = []

        def open_(content: bytes) -> DiskSource:
            path = tmp_path / f"{len(opened)}.raw"
            path.write_bytes(content)
            # qemu-nbd knows holes of the file, not zeroes in it.
            subprocess.run(["fallocate", "--dig-holes", str(path)], check=True)
            opened.append(NbdSource.connect(self.serve(servers, path)))
            return opened[-1]

        yield open_
        for source in opened:
            source.close()


class TestSourceWithOneConnection(TestQemuSource):
    def serve(self, servers: NbdServers, path: Path) -> Address:
        return servers.qemu(path, "--read-only", "--shared=1")


class TestKitSource(TestQemuSource):
    sizes = (3 * MIB, 3 * MIB + 65536 + 512, MIB + 777)

    def serve(self, servers: NbdServers, path: Path) -> Address:
        return servers.kit("file", str(path))


class TestSourceThatTellsNothingOfHoles(TestKitSource):
    knows_holes = False

    def serve(self, servers: NbdServers, path: Path) -> Address:
        return servers.kit("--no-sr", "file", str(path))


class TestSourceThatGivesWholeUnitsOnly(TestQemuSource):
    sizes = (3 * MIB, 3 * MIB + 65536)

    def serve(self, servers: NbdServers, path: Path) -> Address:
        policy = ("blocksize-minimum=4096", "blocksize-error-policy=error")
        return servers.kit("--filter=blocksize-policy", "file", str(path), *policy)


class TestQemuSink(DiskSinkContract):
    def serve(self, servers: NbdServers, path: Path, size: int) -> Address:
        return servers.qemu(path, "--shared=8", "--discard=unmap")

    @pytest.fixture
    def new_disk(self, tmp_path: Path, servers: NbdServers) -> Iterator[NewDisk]:
        addresses: list[Address] = []
        opened: list[DiskSink] = []

        def open_(size: int) -> DiskSink:
            path = tmp_path / f"{len(opened)}.raw"
            path.touch()
            with path.open("r+b") as file:
                file.truncate(size)
            addresses.append(self.serve(servers, path, size))
            opened.append(NbdSink.connect(addresses[-1], size))
            return opened[-1]

        yield NewDisk(open_, lambda: content_of(addresses[-1]))
        for sink in opened:
            sink.close()


class TestSinkWithOneConnection(TestQemuSink):
    def serve(self, servers: NbdServers, path: Path, size: int) -> Address:
        return servers.qemu(path, "--shared=1")


class TestKitSink(TestQemuSink):
    sizes = (3 * MIB, 3 * MIB + 65536 + 512, MIB + 777)

    def serve(self, servers: NbdServers, path: Path, size: int) -> Address:
        return servers.kit("memory", str(size))


class TestSinkThatCannotZero(TestKitSink):
    is_zeroed = False

    def serve(self, servers: NbdServers, path: Path, size: int) -> Address:
        return servers.kit("--no-sr", "--filter=nozero", "memory", str(size))


class TestSinkThatTakesWholeUnitsOnly(TestQemuSink):
    sizes = (3 * MIB, 3 * MIB + 65536)

    def serve(self, servers: NbdServers, path: Path, size: int) -> Address:
        policy = ("blocksize-minimum=4096", "blocksize-error-policy=error")
        return servers.kit("--filter=blocksize-policy", "memory", str(size), *policy)


def test_a_sink_that_holds_something_is_not_zeroed(servers: NbdServers, tmp_path: Path) -> None:
    path = tmp_path / "old.raw"
    path.write_bytes(sample(MIB))
    sink = NbdSink.connect(servers.qemu(path), MIB)
    assert not sink.is_zeroed
    sink.close()


def test_a_dirty_bitmap_makes_a_delta_and_an_unknown_one_is_missing(
    servers: NbdServers, tmp_path: Path
) -> None:
    path = tmp_path / "disk.qcow2"
    for command in (
        ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "4M"],
        ["qemu-img", "bitmap", "--add", str(path), "b7"],
        ["qemu-io", "-c", "write -P 5 1M 128k", "-c", "write -z 3M 64k", str(path)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    address = servers.qemu(path, "--read-only", "--shared=4", "--bitmap=b7", image_format="qcow2")
    source = NbdSource.connect(address, bitmap="b7")
    assert source.is_delta
    assert list(source.extents()) == [Extent(MIB, 131072), Extent(3 * MIB, 65536)]
    assert read(source, MIB, 131072) == b"\5" * 131072
    source.close()
    with pytest.raises(Missing, match=r"no dirty bitmap 'b8' \(choose one of: b7\)"):
        NbdSource.connect(address, bitmap="b8")
    with pytest.raises(Missing, match="export it with a bitmap, or copy the whole disk"):
        NbdSource.connect(servers.kit("memory", "1M"), bitmap="b7")


def test_a_sink_of_another_size_or_read_only_is_refused(servers: NbdServers) -> None:
    with pytest.raises(Refused, match=r"has 1048576 bytes, the disk to write has 2097152 .*exactly"):
        NbdSink.connect(servers.kit("memory", "1M"), 2 * MIB)
    with pytest.raises(Refused, match=r"is read-only \(serve it for writing\)"):
        NbdSink.connect(servers.kit("--readonly", "memory", "1M"), MIB)


def test_an_export_that_nobody_serves_is_unavailable_and_an_unknown_one_missing(
    servers: NbdServers, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="Nobody answers"):
        NbdSource.connect(Address(path=str(tmp_path / "nothing")))
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(MIB))
    served = servers.qemu(disk, "--export-name=disk")
    with pytest.raises(Missing, match="no export 'other'"):
        NbdSource.connect(Address(path=served.path, export="other"))


def test_a_server_that_bears_fewer_connections_than_it_says_is_still_used_by_all_threads(
    servers: NbdServers, tmp_path: Path
) -> None:
    path = tmp_path / "disk.raw"
    content = sample(MIB)
    path.write_bytes(content)
    address = servers.qemu(path, "--read-only", "--shared=2")
    source = NbdSource.connect(address, access=Access(timeout=0.5))
    together = threading.Barrier(6)

    def work(_: int) -> bool:
        together.wait(10)
        return all(read(source, 0, MIB) == content for _ in range(20))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
    source.close()


def test_a_lost_server_is_unavailable_and_taken_up_again_when_it_is_back(
    servers: NbdServers, tmp_path: Path
) -> None:
    path = tmp_path / "disk.raw"
    content = sample(MIB)
    path.write_bytes(content)
    first = servers.qemu(path, "--read-only", "--shared=8")
    source = NbdSource.connect(first)
    servers.end()
    with pytest.raises(Unavailable):
        read(source, 0, MIB)
    with pytest.raises(Unavailable, match="Nobody answers"):
        read(source, 0, MIB)
    again = servers.qemu(path, "--read-only", "--shared=8")
    Path(first.path).unlink(missing_ok=True)
    Path(again.path).rename(first.path)
    assert read(source, 0, MIB) == content
    source.close()


def test_a_server_that_comes_back_with_another_disk_is_damaged(servers: NbdServers) -> None:
    one, other = servers.kit("memory", "1M"), servers.kit("memory", "2M")
    source = NbdSource(Connections(Client.connect(one), lambda: Client.connect(other)))
    read(source, 0, 512)
    servers.end(1)
    with pytest.raises(Unavailable):
        read(source, 0, 512)
    with pytest.raises(Damaged, match="serves another disk than before"):
        read(source, 0, 512)
    source.close()
