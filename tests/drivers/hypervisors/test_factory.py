from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.factory import _libvirt, open_agent, open_hypervisor
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.errors import Refused, Unavailable


def test_a_path_is_a_host_of_qemu_machines_and_opening_it_makes_nothing(tmp_path: Path) -> None:
    host = open_hypervisor(str(tmp_path / "host"), SystemClock(), SystemIds(), {})
    assert isinstance(host, QemuHost)
    assert host.machines() == ()
    assert host.networks() == ("isolated", "user")
    assert not (tmp_path / "host").exists()


def test_a_host_named_from_here_gives_places_that_hold_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU is told of them, and works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    host = open_hypervisor("host", SystemClock(), SystemIds(), {})
    assert Path(host.new_disk("web", "root").words).is_relative_to(tmp_path / "host")


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


@pytest.mark.parametrize(
    ("words", "which", "path"),
    [
        ("/run/vm/web.qmp", "auto", "/run/vm/web.agent"),
        ("/run/vm/web.qmp", "/run/ga", "/run/ga"),
        ("/srv/host#web", "auto", "/srv/host/machines/web/agent.sock"),
    ],
)
def test_the_agent_of_a_guest_is_found_by_its_machine(
    words: str, which: str, path: str, tmp_path: Path
) -> None:
    agent = open_agent(words, tmp_path, which)
    assert agent is not None
    with pytest.raises(Unavailable, match=f"no guest agent's channel is at {path}"):
        agent.freeze()
    agent.close()


def test_the_guests_of_libvirt_are_asked_through_libvirt(tmp_path: Path) -> None:
    pytest.importorskip("libvirt", reason="make check does without it; make test builds it")
    agent = open_agent(f"libvirt+unix:///system?socket={tmp_path}/none#web", tmp_path, "auto")
    assert agent is not None
    with pytest.raises(Unavailable, match="libvirt at qemu"):
        agent.freeze()
    agent.close()
