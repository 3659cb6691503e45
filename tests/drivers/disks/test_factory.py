from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.drivers.disks.factory import open_sink, open_source
from bascule.drivers.disks.images import ImageSink, ImageSource
from bascule.drivers.disks.nbd import NbdSink, NbdSource
from bascule.drivers.disks.raw import RawSink, RawSource
from bascule.model.errors import Exists, Missing, Refused, Unavailable
from tests.contracts.disks import MIB, read, sample
from tests.servers.nbd import NbdServers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NbdServers]:
    with NbdServers(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("new", RawSink),
        ("new.raw", RawSink),
        ("new.qcow2", ImageSink),
        ("new.vhd?format=raw", RawSink),
        ("new?format=vmdk", ImageSink),
        ("a%20b.qcow2", ImageSink),
    ],
)
def test_what_is_written_by_a_name_is_read_by_it(tmp_path: Path, name: str, kind: type) -> None:
    content = sample(MIB)
    sink = open_sink(f"{tmp_path}/{name}", MIB)
    assert type(sink) is kind
    sink.write(0, memoryview(content))
    sink.flush()
    sink.close()
    source = open_source(f"{tmp_path}/{name}")
    assert type(source) is (RawSource if kind is RawSink else ImageSource)
    assert read(source, 0, MIB) == content
    source.close()


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.raw").write_bytes(sample(MIB))
    source = open_source(f"file://{tmp_path}/a%20b.raw?direct=yes")
    assert source.size_bytes == MIB
    source.close()


def test_a_question_mark_may_be_part_of_a_name(tmp_path: Path) -> None:
    for name in ("what?", "what?format=raw"):
        (tmp_path / name).write_bytes(sample(MIB))
        source = open_source(f"{tmp_path}/{name}")
        assert source.size_bytes == MIB
        source.close()


def test_an_nbd_export_is_opened_by_its_address(servers: NbdServers) -> None:
    address = servers.kit("memory", "1M")
    sink = open_sink(str(address), MIB)
    assert type(sink) is NbdSink
    sink.write(0, memoryview(sample(MIB)))
    sink.close()
    source = open_source(str(address))
    assert type(source) is NbdSource
    assert read(source, 0, MIB) == sample(MIB)
    source.close()


def test_a_bitmap_is_asked_for_by_name(servers: NbdServers, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    for command in (
        ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "4M"],
        ["qemu-img", "bitmap", "--add", str(path), "b 7"],
        ["qemu-io", "-c", "write 1M 64k", str(path)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    offline = open_source(f"{path}?bitmap=b%207")
    found = list(offline.extents())
    offline.close()
    address = servers.qemu(path, "--read-only", "--bitmap=b 7", image_format="qcow2")
    online = open_source(f"{address}&bitmap=b+7")
    assert online.is_delta
    assert offline.is_delta
    assert list(online.extents()) == found
    assert len(found) == 1
    online.close()


def test_an_existing_disk_is_dealt_with_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "old.qcow2"
    open_sink(str(path), MIB).close()
    with pytest.raises(Exists, match="choose another path, or ask to replace it"):
        open_sink(str(path), MIB)
    sink = open_sink(str(path), MIB, existing="update")
    assert not sink.is_zeroed
    sink.close()
    sink = open_sink(str(path), MIB, existing="replace")
    assert sink.is_zeroed
    sink.close()


def test_a_raw_disk_that_looks_like_an_image_is_not_updated_unasked(tmp_path: Path) -> None:
    open_sink(f"{tmp_path}/x.qcow2", MIB).close()
    (tmp_path / "x.qcow2").rename(tmp_path / "x")
    with pytest.raises(Refused, match="may be a qcow2 image"):
        open_sink(f"{tmp_path}/x", MIB, existing="update")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{tmp}", r"neither a file nor a block device \(name a disk\)"),
        ("{tmp}/raw?format=floppy", "'floppy' is no format of disk images"),
        (
            "{tmp}/raw?colour=red",
            r"asks for colour \(what can be asked for is bitmap, direct, format, layer\)",
        ),
        ("{tmp}/raw?bitmap=b", "is a raw disk, which keeps no bitmaps"),
        ("{tmp}/raw?layer=yes", "is no layer of another one"),
        ("{tmp}/raw?direct=maybe", "neither yes nor no"),
        ("{tmp}/disk.qcow2?direct=yes", "is an image, which QEMU reads and writes"),
        ("http://127.0.0.1/disk", r"is no disk that can be opened \(name a path, file:///path, nbd:"),
        ("file://host/disk", "is no disk that can be opened"),
        (
            "nbd://127.0.0.1/x?colour=red",
            r"asks for colour .*fresh, holes, lender, socket",
        ),
        ("nbd://127.0.0.1/x?tls-certificates={tmp}", "is not encrypted, certificates or not"),
        ("nbds://127.0.0.1/x?tls-certificates={tmp}/none", r"cannot be used.*put ca-cert\.pem there"),
        ("nbd+unix:///x", "names no Unix socket"),
    ],
)
def test_wrong_words_are_refused_with_a_cure(tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "raw").write_bytes(bytes(MIB))
    open_sink(f"{tmp_path}/disk.qcow2", MIB).close()
    with pytest.raises(Refused, match=message):
        open_source(words.format(tmp=tmp_path))


def test_what_is_not_there_is_missing_and_who_does_not_answer_unavailable(tmp_path: Path) -> None:
    for name in ("nothing.raw", "nothing.qcow2", "nothing/at.all?format=raw"):
        with pytest.raises(Missing, match=r"nothing.*: no such file or directory \(check the path\)"):
            open_source(f"{tmp_path}/{name}")
    with pytest.raises(Unavailable, match="Nobody answers"):
        open_source(f"nbd+unix:///?socket={tmp_path}/nobody")
    with pytest.raises(Missing, match="no such file or directory"):
        open_sink(f"{tmp_path}/no/folder/disk.raw", MIB)


def test_an_image_that_is_in_use_is_refused_with_a_cure(tmp_path: Path) -> None:
    for name in ("disk.qcow2", "disk.raw"):
        sink = open_sink(f"{tmp_path}/{name}", MIB)
        with pytest.raises(Refused, match=r"is in use: .*stop the machine, or copy from its NBD export"):
            open_source(f"{tmp_path}/{name}")
        sink.close()


def test_a_sink_has_no_bitmap(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="names a bitmap, which only a disk to read has"):
        open_sink(f"{tmp_path}/new.qcow2?bitmap=b", MIB)
