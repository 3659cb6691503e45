from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bascule.drivers.disks.formats import format_for, format_of, said_size
from bascule.model.errors import Missing, Refused

MIB = 1 << 20
FORMATS = {".qcow2": "qcow2", ".vhdx": "vhdx", ".vmdk": "vmdk", ".vhd": "vpc"}


def made(path: Path, image_format: str, *options: str) -> Path:
    command = ["qemu-img", "create", "-q", "-f", image_format, *options, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@pytest.mark.parametrize(("suffix", "image_format"), FORMATS.items())
def test_an_image_is_known_by_its_name_and_its_content_together(
    tmp_path: Path, suffix: str, image_format: str
) -> None:
    assert format_of(made(tmp_path / f"disk{suffix}", image_format, "-o", "size=1M")) == image_format


def test_a_fixed_vhd_is_known_by_its_last_sector(tmp_path: Path) -> None:
    path = made(tmp_path / "disk.vhd", "vpc", "-o", "subformat=fixed,size=1M")
    assert path.read_bytes()[:8] == bytes(8)
    assert format_of(path) == "vpc"


def test_a_vmdk_in_two_files_is_known_by_its_description(tmp_path: Path) -> None:
    path = made(tmp_path / "disk.vmdk", "vmdk", "-o", "subformat=monolithicFlat,size=1M")
    assert format_of(path) == "vmdk"


@pytest.mark.parametrize(("kind", "said"), [("qcow2", 3 * MIB), ("raw", 3 * MIB), ("vhdx", 0), ("vmdk", 0)])
def test_the_size_of_a_disk_is_what_its_head_alone_says(tmp_path: Path, kind: str, said: int) -> None:
    path = made(tmp_path / "disk", kind, "-o", "size=3M")
    assert said_size(path, kind) == said
    path.write_bytes(b"QFI")
    assert said_size(path, "qcow2") == 0


@pytest.mark.parametrize("name", ["disk", "disk.img", "disk.raw", "disk.bin"])
def test_other_content_is_raw(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (b"", b"\x55", bytes(MIB)):
        path.write_bytes(content)
        assert format_of(path) == "raw"


def test_a_guest_cannot_choose_the_format_of_its_raw_disk(tmp_path: Path) -> None:
    header = made(tmp_path / "evil.qcow2", "qcow2", "-o", "size=1M").read_bytes()
    for name in ("disk", "disk.img"):
        path = tmp_path / name
        path.write_bytes(header)
        with pytest.raises(
            Refused, match=r"may be a qcow2 image, or .* guest wrote .*\?format=qcow2 or \?format=raw"
        ):
            format_of(path)
        assert format_of(path, "raw") == "raw"
        assert format_of(path, "qcow2") == "qcow2"
    path = tmp_path / "disk.raw"
    path.write_bytes(header)
    assert format_of(path) == "raw"


def test_a_guest_cannot_choose_it_by_the_last_sector_either(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB) + b"conectix" + bytes(504))
    with pytest.raises(Refused, match="may be a vpc image"):
        format_of(path)


def test_a_name_that_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(bytes(MIB))
    with pytest.raises(
        Refused, match=r"said to be qcow2 but its content looks like raw .*append \?format=raw"
    ):
        format_of(path)
    made(tmp_path / "disk.vhdx", "qcow2", "-o", "size=1M")
    with pytest.raises(Refused, match="said to be vhdx but its content looks like qcow2"):
        format_of(tmp_path / "disk.vhdx")


def test_an_unknown_format_is_refused_and_the_known_ones_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"'floppy' is no format .*raw, qcow2, vhdx, vmdk, vpc"):
        format_of(tmp_path / "disk", "floppy")
    with pytest.raises(Refused, match="'floppy' is no format"):
        format_for(tmp_path / "disk", "floppy")


def test_a_missing_image_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"nothing\.qcow2: no such file"):
        format_of(tmp_path / "nothing.qcow2")


def test_an_encrypted_image_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "disk.qcow2", "qcow2", "-o", "size=1M")
    with path.open("r+b") as file:
        # crypt_method 2, LUKS; making a real one takes seconds of key derivation.
        file.seek(32)
        file.write((2).to_bytes(4, "big"))
    with pytest.raises(Refused, match="is encrypted"):
        format_of(path)


@pytest.mark.parametrize("version", ["0.10", "1.1"])
def test_a_backing_file_needs_its_format_written_down(tmp_path: Path, version: str) -> None:
    base = made(tmp_path / "base.qcow2", "qcow2", "-o", "size=1M")
    path = made(tmp_path / "top.qcow2", "qcow2", "-o", f"compat={version}", "-b", str(base), "-F", "qcow2")
    assert format_of(path) == "qcow2"
    # QEMU refuses to make one without a format today; older versions did.
    header = bytearray(path.read_bytes())
    at = header.index((0xE2792ACA).to_bytes(4, "big"))
    header[at : at + 4] = (0x12345678).to_bytes(4, "big")
    path.write_bytes(header)
    with pytest.raises(Refused, match=r"which format its backing file has.*qemu-img rebase -u"):
        format_of(path)


def test_a_new_image_has_the_format_of_its_name_or_is_raw(tmp_path: Path) -> None:
    for suffix, image_format in FORMATS.items():
        assert format_for(tmp_path / f"new{suffix}") == image_format
        assert format_for(tmp_path / f"NEW{suffix.upper()}") == image_format
    for name in ("new", "new.img", "new.raw"):
        assert format_for(tmp_path / name) == "raw"
    assert format_for(tmp_path / "new.img", "vhdx") == "vhdx"
