"""A host of a real libvirtd, with guests that boot."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.model.machines import DirectBoot, DiskPlace
from tests.contracts.hypervisors import LAN, SIZE, Site
from tests.drivers.hypervisors.guests import boot_of, made_in
from tests.servers.libvirtd import Libvirtd


class LibvirtSite(Site):
    def __init__(self, daemon: Libvirtd, folder: Path, initrd: Path) -> None:
        self.daemon = daemon
        self.folder = folder
        self.initrd = initrd
        self.reconnect()
        network = self.connection.networkDefineXML(
            f"<network><name>{LAN}</name><forward mode='bridge'/><bridge name='lan0'/></network>"
        )
        network.create()

    def reconnect(self) -> None:
        """Connect, or connect again to a daemon that has started anew."""
        import libvirt  # make check does without it

        self.connection = libvirt.open(self.daemon.uri)

    def connect(self, acceleration: str = "auto") -> LibvirtHost:
        return LibvirtHost(self.daemon.uri, self.folder, SystemClock(), SystemIds(), acceleration)

    def boot(self, temper: str = "") -> DirectBoot:
        return boot_of(self.initrd, temper)

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
            host.forget(name)
        network = self.connection.networkLookupByName(LAN)
        network.destroy()
        network.undefine()
        self.connection.close()


@pytest.fixture(scope="session")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_in(tmp_path_factory.mktemp("guest"))


@pytest.fixture
def site(libvirtd: Libvirtd, initrd: Path) -> Iterator[LibvirtSite]:
    folder = Path(tempfile.mkdtemp(prefix="bsc-"))  # names of sockets must be short
    made = LibvirtSite(libvirtd, folder, initrd)
    yield made
    made.end()
    shutil.rmtree(folder)
