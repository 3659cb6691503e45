"""Against a real QEMU that holds the image, and the other way round."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.drivers.disks.raw import RawSink, RawSource
from bascule.model.errors import Refused

SIZE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(SIZE))
    return path


@contextlib.contextmanager
def held_by_qemu(path: Path, *options: str) -> Iterator[None]:
    """Keep ``path`` open in a QEMU tool, whose answer to a first command shows that it is."""
    command = ["qemu-io", "-f", "raw", *options, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdin
        assert tool.stdout
        tool.stdin.write("length\n")
        tool.stdin.flush()
        assert "1 MiB" in tool.stdout.readline()
        yield
        tool.stdin.close()
        tool.wait(timeout=30)


def qemu_can_open(path: Path, *options: str) -> bool:
    command = ["qemu-io", "-f", "raw", *options, "-c", "length", str(path)]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def test_a_disk_that_a_machine_writes_is_not_read(disk: Path) -> None:
    with held_by_qemu(disk), pytest.raises(Refused, match=r"disk\.raw is in use: a running machine"):
        RawSource(disk)
    RawSource(disk).close()


def test_a_disk_that_others_only_read_is_read(disk: Path) -> None:
    with held_by_qemu(disk, "-r"):
        RawSource(disk).close()


@pytest.mark.parametrize("options", [(), ("-r",)])
@pytest.mark.parametrize("existing", ["replace", "update"])
def test_a_disk_that_anybody_uses_is_not_written(disk: Path, existing: str, options: tuple[str, ...]) -> None:
    content = disk.read_bytes()
    with held_by_qemu(disk, *options), pytest.raises(Refused, match="in use"):
        RawSink(disk, SIZE, existing="replace" if existing == "replace" else "update")
    assert disk.read_bytes() == content


def test_no_machine_starts_from_a_disk_that_is_still_written(disk: Path) -> None:
    sink = RawSink(disk, SIZE, existing="update")
    assert not qemu_can_open(disk)
    assert not qemu_can_open(disk, "-r")
    with pytest.raises(Refused, match="in use"):
        RawSource(disk)
    with pytest.raises(Refused, match="in use"):
        RawSink(disk, SIZE, existing="update")
    sink.close()
    assert qemu_can_open(disk)
