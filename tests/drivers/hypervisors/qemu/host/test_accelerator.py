"""KVM is believed where a guest boots by it in time."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.qemu.host import accelerator as rooms
from bascule.drivers.hypervisors.qemu.host.accelerator import accelerator, probe
from bascule.drivers.hypervisors.qemu.host.folder import HostFolder
from bascule.model.errors import Refused


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostFolder:
    """A host where something is at the place of /dev/kvm."""
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(rooms, "_KVM", tmp_path / "kvm")
    return HostFolder(tmp_path)


def qemu(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put something else in QEMU's place."""
    folder.mkdir()
    program = folder / rooms.QEMU
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_what_is_asked_for_is_not_looked_into(host: HostFolder) -> None:
    assert accelerator(host, "tcg") == "tcg"
    assert accelerator(host, "kvm") == "kvm"
    with pytest.raises(Refused, match="hvf"):
        accelerator(host, "hvf")


def test_without_a_device_there_is_nothing_to_try(
    host: HostFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kvm").unlink()
    monkeypatch.setattr(rooms, "probe", lambda kind, limit: pytest.fail("nothing is tried"))
    assert accelerator(host) == "tcg"


def test_a_guest_that_boots_by_kvm_is_believed_once_and_remembered(
    host: HostFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu(tmp_path / "bin", monkeypatch, f"echo run >> {tmp_path}/runs; exit 33")
    assert [accelerator(host), accelerator(host)] == ["kvm", "kvm"]
    assert (tmp_path / "runs").read_text() == "run\n" * 2, "once emulated, once by KVM, and never again"


@pytest.mark.parametrize("kvm", ["exec sleep 100000", "exit 1", "kill -SEGV $$"])
def test_a_guest_that_hangs_or_dies_by_kvm_is_emulated(
    host: HostFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kvm: str
) -> None:
    qemu(tmp_path / "bin", monkeypatch, f'case "$*" in *kvm*) {kvm};; esac; exit 33')
    assert accelerator(host) == "tcg"
    assert accelerator(host) == "tcg"


def test_a_verdict_of_another_boot_or_another_qemu_does_not_count(
    host: HostFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu(tmp_path / "bin", monkeypatch, "exit 33")
    assert accelerator(host) == "kvm"
    kept = host.path / "accelerator.json"
    for broken in (
        "",
        "[]",
        json.dumps({**json.loads(kept.read_text()), "boot": "another", "verdict": "tcg"}),
    ):
        kept.write_text(broken)
        assert accelerator(host) == "kvm"


@pytest.mark.lab
def test_the_boot_sector_gets_to_64_bits_under_emulation() -> None:
    assert probe("tcg", 60) is not None


@pytest.mark.lab
def test_on_this_machine_there_is_a_verdict_whatever_its_kvm_does(tmp_path: Path) -> None:
    assert accelerator(HostFolder(tmp_path)) in ("kvm", "tcg")
