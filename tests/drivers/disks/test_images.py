"""Images of every format, made and read back by the real qemu-img, served by the real qemu-nbd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.blocks.extents import Extent
from bascule.drivers.disks.images import ImageSink, ImageSource
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.ports.disks import DiskSink, DiskSource
from lab.waiting import wait_until
from tests.contracts.disks import (
    MIB,
    DiskSinkContract,
    DiskSourceContract,
    NewDisk,
    OpenDisk,
    read,
    sample,
)


def qemu_img(*arguments: str | Path) -> str:
    command = ["qemu-img", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def image_of(content: bytes, image_format: str, path: Path, options: str = "") -> Path:
    raw = path.with_suffix(".source")
    raw.write_bytes(content)
    more = ["-o", options] if options else []
    qemu_img("convert", "-f", "raw", "-O", image_format, *more, raw, path)
    return path


def content_of(path: Path, image_format: str) -> bytes:
    raw = path.with_suffix(".read")
    qemu_img("convert", "-f", image_format, "-O", "raw", path, raw)
    return raw.read_bytes()


def our_processes(path: Path) -> dict[int, bytes]:
    """Return what runs for ``path``: process ids and the programs' names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(path) in words:
                found[int(entry.name)] = words[0]
    return found


def our_servers(path: Path) -> list[int]:
    return [pid for pid, program in our_processes(path).items() if program.endswith(b"qemu-nbd")]


class TestQcow2Source(DiskSourceContract):
    image_format = "qcow2"
    options = ""

    @pytest.fixture
    def open_disk(self, tmp_path: Path) -> Iterator[OpenDisk]:
        opened: list[DiskSource] = []

        def open_(content: bytes) -> DiskSource:
            path = image_of(content, self.image_format, tmp_path / f"{len(opened)}.img", self.options)
            opened.append(ImageSource(path, self.image_format))
            return opened[-1]

        yield open_
        for source in opened:
            source.close()


@pytest.mark.lab
class TestVmdkSource(TestQcow2Source):
    image_format = "vmdk"


@pytest.mark.lab
class TestVhdSource(TestQcow2Source):
    image_format = "vpc"
    options = "force_size=on"  # else it rounds the size


@pytest.mark.lab
class TestVhdxSource(TestQcow2Source):
    image_format = "vhdx"
    options = f"block_size={MIB}"


class TestQcow2Sink(DiskSinkContract):
    image_format = "qcow2"

    @pytest.fixture
    def new_disk(self, tmp_path: Path) -> Iterator[NewDisk]:
        opened: list[DiskSink] = []

        def open_(size: int) -> DiskSink:
            opened.append(ImageSink(tmp_path / f"{len(opened)}.img", self.image_format, size))
            return opened[-1]

        def content() -> bytes:
            return content_of(tmp_path / f"{len(opened) - 1}.img", self.image_format)

        yield NewDisk(open_, content)
        for sink in opened:
            sink.close()


@pytest.mark.lab
class TestVmdkSink(TestQcow2Sink):
    image_format = "vmdk"


@pytest.mark.lab
class TestVhdSink(TestQcow2Sink):
    image_format = "vpc"


@pytest.mark.lab
class TestVhdxSink(TestQcow2Sink):
    image_format = "vhdx"


def test_a_fixed_vhd_is_read_without_its_footer(tmp_path: Path) -> None:
    content = sample(2 * MIB)
    path = image_of(content, "vpc", tmp_path / "fixed.vhd", "subformat=fixed,force_size=on")
    assert path.stat().st_size == 2 * MIB + 512
    source = ImageSource(path, "vpc")
    assert source.size_bytes == 2 * MIB
    assert read(source, 0, 2 * MIB) == content
    source.close()


def test_a_new_vhd_is_fixed_and_of_exactly_the_size(tmp_path: Path) -> None:
    size = 5 * MIB + 512
    ImageSink(tmp_path / "new.vhd", "vpc", size).close()
    disk = (tmp_path / "new.vhd").read_bytes()
    assert len(disk) == size + 512
    assert disk[size : size + 8] == b"conectix"


def test_an_image_stays_sparse(tmp_path: Path) -> None:
    sink = ImageSink(tmp_path / "new.qcow2", "qcow2", 64 * MIB)
    sink.write(8 * MIB, memoryview(b"\1" * 4 * MIB))
    sink.zero(Extent(8 * MIB, 3 * MIB))
    sink.flush()
    sink.close()
    assert (tmp_path / "new.qcow2").stat().st_blocks * 512 < 2 * MIB


def test_an_existing_image_is_refused_replaced_or_updated_as_asked(tmp_path: Path) -> None:
    path = image_of(b"\1" * MIB, "qcow2", tmp_path / "old.qcow2")
    before = path.read_bytes()
    with pytest.raises(Exists, match=r"old\.qcow2"):
        ImageSink(path, "qcow2", MIB)
    assert path.read_bytes() == before

    sink = ImageSink(path, "qcow2", MIB, existing="update")
    assert not sink.is_zeroed
    sink.write(65536, memoryview(b"\2" * 65536))
    sink.close()
    assert content_of(path, "qcow2") == b"\1" * 65536 + b"\2" * 65536 + b"\1" * (MIB - 131072)

    with pytest.raises(Refused, match=r"has 1048576 bytes, the disk to write has 2097152"):
        ImageSink(path, "qcow2", 2 * MIB, existing="update")
    sink = ImageSink(path, "qcow2", 2 * MIB, existing="replace")
    assert sink.is_zeroed
    sink.close()
    assert content_of(path, "qcow2") == bytes(2 * MIB)


def test_a_size_that_is_no_whole_sector_leaves_no_image_behind(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no whole sectors"):
        ImageSink(tmp_path / "odd.qcow2", "qcow2", MIB + 1)
    assert not list(tmp_path.iterdir())


def test_an_image_that_a_sink_writes_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "new.qcow2"
    sink = ImageSink(path, "qcow2", MIB)
    with pytest.raises(Refused, match=r"new\.qcow2 is in use: a running machine"):
        ImageSource(path, "qcow2")
    for existing in ("replace", "update"):
        with pytest.raises(Refused, match=r"new\.qcow2 is in use"):
            ImageSink(path, "qcow2", MIB, existing="replace" if existing == "replace" else "update")
    sink.close()
    ImageSource(path, "qcow2").close()


def test_a_backing_file_is_read_through_and_its_loss_named(tmp_path: Path) -> None:
    base = image_of(b"\1" * MIB, "qcow2", tmp_path / "base.qcow2")
    path = tmp_path / "top.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
    source = ImageSource(path, "qcow2")
    assert read(source, 0, MIB) == b"\1" * MIB
    source.close()
    base.unlink()
    with pytest.raises(Missing, match=r"base\.qcow2.*No such file.*check the path"):
        ImageSource(path, "qcow2")


def test_a_persistent_bitmap_makes_a_delta(tmp_path: Path) -> None:
    path = image_of(sample(4 * MIB), "qcow2", tmp_path / "disk.qcow2")
    qemu_img("bitmap", "--add", path, "since-monday")
    command = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 64k", "-c", "write -P 7 2000k 1k", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    source = ImageSource(path, "qcow2", bitmap="since-monday")
    assert source.is_delta
    assert list(source.extents()) == [Extent(MIB, 65536), Extent(31 * 65536, 65536)]
    assert read(source, MIB, 65536) == b"\7" * 65536
    source.close()
    with pytest.raises(Refused, match="nothing"):
        ImageSource(path, "qcow2", bitmap="nothing")


def test_a_layer_is_what_was_written_to_it_zeroes_too_and_nothing_of_what_it_lies_on(tmp_path: Path) -> None:
    below = image_of(b"\1" * MIB, "qcow2", tmp_path / "below.qcow2")
    path = tmp_path / "layer.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", path)
    command = ["qemu-io", "-f", "qcow2", "-c", "write -P 2 64k 64k", "-c", "write -z 192k 64k", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    below.unlink()
    source = ImageSource(path, "qcow2", is_layer=True)
    assert source.is_delta
    assert list(source.extents()) == [Extent(65536, 65536), Extent(3 * 65536, 65536)]
    assert read(source, 65536, 65536) == b"\2" * 65536
    source.close()


def test_what_is_no_image_of_the_format_is_refused_in_qemus_words(tmp_path: Path) -> None:
    path = tmp_path / "noise.vmdk"
    path.write_bytes(b"\xff" * MIB)
    with pytest.raises(Refused, match=r"QEMU cannot open .*noise\.vmdk.*qemu-img check"):
        ImageSource(path, "vmdk")
    with pytest.raises(Missing, match="check the path"):
        ImageSource(tmp_path / "nothing.vmdk", "vmdk")


def test_a_server_ends_with_its_source(tmp_path: Path) -> None:
    path = image_of(sample(MIB), "qcow2", tmp_path / "disk.qcow2")
    source = ImageSource(path, "qcow2")
    assert len(our_servers(path)) == 1
    source.close()
    assert our_servers(path) == []


def test_a_source_whose_server_died_is_unavailable(tmp_path: Path) -> None:
    path = image_of(sample(MIB), "qcow2", tmp_path / "disk.qcow2")
    source = ImageSource(path, "qcow2")
    for server in our_servers(path):
        os.kill(server, signal.SIGKILL)
    with pytest.raises(Unavailable):
        read(source, 0, MIB)
    source.close()


OWNER = """
import signal, sys, threading
from pathlib import Path
from bascule.drivers.disks.images import ImageSink

# Who starts this in the background of a shell leaves the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def open_it():
    global sink  # its thread ends at once: a server must not end with a thread
    sink = ImageSink(Path(sys.argv[1]), "qcow2", 1 << 20)
    sink.write(0, memoryview(b"\\1" * 65536))
    sink.flush()

thread = threading.Thread(target=open_it)
thread.start()
thread.join()
sink.write(65536, memoryview(b"\\2" * 65536))
sink.flush()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_in_order_when_its_owner_is_killed(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "disk.qcow2"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"written\n"
        (server,) = our_servers(path)
        assert list(temporary.iterdir())
        owner.send_signal(end)
        owner.wait(timeout=20)
        wait_until(lambda: not Path(f"/proc/{server}").exists())
    wait_until(lambda: not list(temporary.iterdir()))
    assert content_of(path, "qcow2") == b"\1" * 65536 + b"\2" * 65536 + bytes(MIB - 131072)


STARTER = """
import sys
from pathlib import Path
from bascule.drivers.disks.images import ImageSource

print("now", flush=True)
source = ImageSource(Path(sys.argv[1]), "qcow2")
sys.stdin.read()
"""


@pytest.mark.lab
@pytest.mark.parametrize("milliseconds", range(0, 40, 3))
def test_an_owner_killed_at_any_moment_of_the_start_leaves_no_server(
    tmp_path: Path, milliseconds: int
) -> None:
    path = image_of(b"", "qcow2", tmp_path / "disk.qcow2")
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"now\n"
        with pytest.raises(subprocess.TimeoutExpired):
            owner.wait(timeout=milliseconds / 1000)
        owner.kill()
    wait_until(lambda: not our_processes(path))
