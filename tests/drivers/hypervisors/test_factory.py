from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.factory import open_hypervisor
from bascule.drivers.hypervisors.qemu.host.host import QemuHost
from bascule.model.errors import Refused


def test_a_path_is_a_host_of_qemu_machines_and_opening_it_makes_nothing(tmp_path: Path) -> None:
    host = open_hypervisor(str(tmp_path / "host"), SystemClock(), SystemIds(), {})
    assert isinstance(host, QemuHost)
    assert host.machines() == ()
    assert host.networks() == ("isolated", "user")
    assert not (tmp_path / "host").exists()


@pytest.mark.parametrize("words", ["", "vmware://host", "qemu+ssh://host/system"])
def test_what_names_no_host_is_refused(words: str) -> None:
    with pytest.raises(Refused, match="names no host"):
        open_hypervisor(words, SystemClock(), SystemIds(), {})
