"""The hook of a real libvirtd, which asks a script of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
from bascule.model.errors import Refused
from bascule.model.machines import Hardware, MachineDefinition, Power
from lab.waiting import wait_until
from tests.contracts.hypervisors import READY
from tests.drivers.hypervisors.libvirt.host.conftest import LibvirtSite

_ASKING = """#!/bin/sh
. {folder}/settings
echo "$1 $(cat "$2") $WORD" >> {folder}/asked
[ ! -e {folder}/no ] || {{ echo "it went over" >&2; exit 2; }}
"""

# The daemon's folder of hooks is in its own namespace.
_POST = """
import sys
from pathlib import Path
from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.hypervisors.libvirt.host.host import LibvirtHost
host = LibvirtHost(sys.argv[1], Path(sys.argv[2]), SystemClock(), SystemIds())
print(host.starts_unasked("web"))
print(host.guard(["/bin/sh", sys.argv[2] + "/asking"], Path(sys.argv[2]) / "settings"))
print(host.starts_unasked("web"))
"""


class Guarded:
    """A machine of a host whose daemon asks, and starts it by itself when the host boots."""

    def __init__(self, site: LibvirtSite) -> None:
        self.site = site
        self.host = site.connect()
        place = self.host.new_disk("web", "disk0")
        site.make(place)
        self.host.define(MachineDefinition("web", Hardware(memory_mib=128, boot=site.boot("deaf")), (place,)))
        site.connection.lookupByName("web").setAutostart(1)
        (site.folder / "settings").write_text("WORD=secret")
        (site.folder / "asking").write_text(_ASKING.format(folder=site.folder))
        self.said = site.daemon.run(sys.executable, "-c", _POST, site.daemon.uri, str(site.folder))
        site.daemon.kill()
        site.reconnect()

    def asked(self) -> list[str]:
        """Return what was asked since the last look."""
        path = self.site.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def start_past_us(self) -> str:
        """Start the machine as virsh does; return why it does not."""
        import libvirt

        try:
            self.site.connection.lookupByName("web").create()
        except libvirt.libvirtError as error:
            return str(error)
        return ""

    def forbid(self) -> None:
        (self.site.folder / "no").touch()


@pytest.fixture
def guarded(site: LibvirtSite) -> Iterator[Guarded]:
    yield Guarded(site)
    site.daemon.run("sh", "-c", "rm /etc/libvirt/hooks/qemu.d/bascule-*")


@pytest.mark.lab
def test_whoever_starts_a_machine_past_us_asks_and_we_do_not(guarded: Guarded) -> None:
    before, words, after = guarded.said.splitlines()
    assert (before, after) == ("True", "False"), "it would start unasked until it is guarded"
    assert "restart libvirtd" in words
    host, domain = guarded.host, guarded.site.connection.lookupByName("web")
    assert guarded.start_past_us() == ""
    assert guarded.asked() == [], "a machine without a mark is nobody's to ask for"
    host.cut_power("web")
    host.mark("web", "of a group")
    assert guarded.start_past_us() == ""
    assert guarded.asked() == ["web of a group secret"]
    wait_until(lambda: READY in host.console("web"), guarded.site.patience)
    domain.managedSave()
    guarded.forbid()
    assert "it went over" in guarded.start_past_us(), "nor does it go on from a saved state"
    assert guarded.asked() == ["web of a group secret"]
    assert host.power("web") is Power.OFF
    host.start("web")
    assert host.power("web") is Power.RUNNING
    host.cut_power("web")
    host.rest("web", 1)
    assert guarded.asked() == [], "whoever starts it by us has asked already"
    host.cut_power("web")


@pytest.mark.lab
def test_a_machine_that_is_not_to_run_here_does_not_start_when_its_host_boots(guarded: Guarded) -> None:
    daemon, host = guarded.site.daemon, guarded.host
    host.mark("web", "of a group")
    for is_forbidden in (False, True):
        if is_forbidden:
            guarded.forbid()
        daemon.run("rm", "/run/libvirt/qemu/autostarted")
        daemon.kill()
        guarded.site.reconnect()
        assert host.power("web") is (Power.OFF if is_forbidden else Power.RUNNING)
        assert guarded.asked() == ["web of a group secret"]
        host.cut_power("web")


def test_a_daemon_of_a_user_is_refused(tmp_path: Path) -> None:
    host = LibvirtHost("qemu:///session", tmp_path, SystemClock(), SystemIds())
    with pytest.raises(Refused, match="daemon of a user"):
        host.guard(["true"])
