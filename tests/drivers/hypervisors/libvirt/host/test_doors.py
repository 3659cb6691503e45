"""Whom a machine's QEMU runs as, and what keeps it from a socket."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from bascule.drivers.hypervisors.libvirt.host.doors import User, barrier, doors_of, open_doors, user_of

CAPABILITIES = """<capabilities><host>
<secmodel><model>selinux</model><baselabel type='qemu'>system_u:system_r:svirt_tcg_t:s0</baselabel></secmodel>
<secmodel><model>dac</model><baselabel type='kvm'>+1:+2</baselabel>
<baselabel type='qemu'>+3:+4</baselabel></secmodel>
</host></capabilities>"""
OWN = "<seclabel type='static' model='dac'><label>+5:+6</label></seclabel>"
DISKS = """<devices>
<disk><source protocol='nbd'><host transport='unix' socket='{0}/b/nbd'/></source></disk>
<disk><source protocol='nbd'><host transport='unix' socket='{0}/b/nbd'/></source></disk>
<disk><source protocol='nbd'><host name='10.0.0.1' port='10809'/></source></disk>
<disk><source file='/images/a'/></disk>
</devices>"""


@pytest.mark.parametrize(
    ("kind", "more", "capabilities", "user"),
    [
        ("qemu", "", CAPABILITIES, User(3, 4)),
        ("kvm", "", CAPABILITIES, User(1, 2)),
        ("kvm", OWN, CAPABILITIES, User(5, 6)),
        ("qemu", "", "<capabilities><host/></capabilities>", None),
    ],
    ids=["its host's for its type", "its host's for KVM", "its own", "whom libvirt's daemon is itself"],
)
def test_a_machine_runs_as_the_user_that_libvirt_says(
    kind: str, more: str, capabilities: str, user: User | None
) -> None:
    assert user_of(f"<domain type='{kind}'>{more}</domain>", capabilities) == user


def test_a_socket_is_given_to_whom_qemu_runs_as_and_its_folders_stay(tmp_path: Path) -> None:
    place = tmp_path / "b" / "nbd"
    place.parent.mkdir(mode=0o711)
    doors = doors_of(f"<domain>{DISKS.format(tmp_path)}</domain>")
    assert doors == [place]
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(place))
        for _ in range(2):
            open_doors(doors, User(os.geteuid() + 1, 0))
        assert (place.stat().st_uid, place.parent.stat().st_uid) == (os.geteuid() + 1, os.geteuid())


def test_a_socket_that_is_not_there_is_left_to_qemu(tmp_path: Path) -> None:
    open_doors([tmp_path / "nbd"], User(1, 1))
    assert barrier([tmp_path / "none" / "nbd"], User(0, 0)) is None


@pytest.mark.parametrize(
    ("mode", "user", "is_passed"),
    [
        (0o700, User(9, 9), False),
        (0o711, User(9, 9), True),
        (0o710, User(9, 7), True),
        (0o701, User(9, 7), False),
        (0o600, User(8, 7), False),
        (0o100, User(8, 7), True),
        (0o000, User(0, 0), True),
    ],
)
def test_a_folder_keeps_out_whom_it_does_not_let_pass(mode: int, user: User, is_passed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 8, 7)
        folder.chmod(mode)
        assert barrier([folder / "nbd"], user) == (None if is_passed else folder)
