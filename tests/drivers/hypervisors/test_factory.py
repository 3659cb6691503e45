from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.factory import _libvirt, open_hypervisor
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.errors import Refused


def test_a_path_is_a_host_of_qemu_machines_and_opening_it_makes_nothing(tmp_path: Path) -> None:
    host = open_hypervisor(str(tmp_path / "host"), SystemClock(), SystemIds(), {})
    assert isinstance(host, QemuHost)
    assert host.machines() == ()
    assert host.networks() == ("isolated", "user")
    assert not (tmp_path / "host").exists()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "vmware://host",
        "qemu+ssh://host/system",
        "libvirt://host/system",
        "libvirt:///lxc",
        "libvirt+unix:///system",
        "libvirt:///system?socket=/run/here",
        "libvirt:///system?port=1",
    ],
)
def test_what_names_no_host_is_refused(words: str) -> None:
    with pytest.raises(Refused, match="names no host"):
        open_hypervisor(words, SystemClock(), SystemIds(), {})


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("libvirt:///system", ("qemu:///system", "/var/lib/bascule/machines")),
        ("libvirt:///session", ("qemu:///session", "/there/.local/share/bascule/machines")),
        ("libvirt:///session?folder=/disks", ("qemu:///session", "/disks")),
        (
            "libvirt+unix:///system?socket=/run/a%20b&folder=/disks",
            ("qemu+unix:///system?socket=/run/a%20b", "/disks"),
        ),
    ],
)
def test_libvirt_is_named_by_its_daemon_and_a_folder(words: str, where: tuple[str, str]) -> None:
    uri, folder = _libvirt(words, {"HOME": "/there"})
    assert (uri, str(folder)) == where
    assert isinstance(open_hypervisor(words, SystemClock(), SystemIds(), {}), LibvirtHost)
