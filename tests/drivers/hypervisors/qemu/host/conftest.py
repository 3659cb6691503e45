"""A host of QEMU machines in a folder, and a guest for them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.qemu.host.folder import MachineFolder
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.machines import DirectBoot, DiskPlace
from tests.contracts.hypervisors import LAN, SIZE, Site
from tests.drivers.hypervisors.guests import boot_of, made_in


class QemuSite(Site):
    hands_out_addresses = True

    def __init__(self, folder: Path, initrd: Path) -> None:
        self.folder = folder
        self.initrd = initrd
        self.has_networks({LAN: {"kind": "user"}})

    def has_networks(self, networks: Mapping[str, Mapping[str, str]]) -> None:
        """Say what networks the host has."""
        (self.folder / "networks.json").write_text(json.dumps({"version": 1, "networks": networks}))

    def machine_folder(self, name: str) -> MachineFolder:
        return MachineFolder(self.folder / "machines" / name)

    def connect(self) -> QemuHost:
        return QemuHost(self.folder, SystemClock(), SystemIds(), "tcg")

    def boot(self, temper: str = "", more: str = "") -> DirectBoot:
        return boot_of(self.initrd, temper, more)

    def make(self, place: DiskPlace, size: int = SIZE) -> None:
        subprocess.run(["qemu-img", "create", "-q", "-f", place.format, place.words, str(size)], check=True)

    def is_there(self, place: DiskPlace) -> bool:
        return Path(place.words).exists()

    def take_away(self, place: DiskPlace) -> None:
        Path(place.words).unlink()

    def end(self) -> None:
        host = self.connect()
        for name in host.machines():
            host.cut_power(name)


@pytest.fixture(scope="module")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_in(tmp_path_factory.mktemp("guest"))


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder with a short path, as sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="bsc-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def site(room: Path, initrd: Path) -> Iterator[QemuSite]:
    made = QemuSite(room, initrd)
    yield made
    made.end()
