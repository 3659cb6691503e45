"""What is left when libvirt's daemon dies in the middle, and that no machine stands still for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from lab.waiting import wait_until
from tests.drivers.hypervisors.libvirt.test_machine import Domain
from tests.servers.libvirtd import Libvirtd, running

pytestmark = pytest.mark.lab

_METADATA_ONLY = 2  # of virDomainCheckpointDeleteFlags

# What a daemon writes of a machine before it begins a backup, and believes when it starts.
_LOST = '<job type="none" async="backup" flags="0x0" asyncStarted="1795740384746"/>'


@pytest.fixture
def host(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Domain]:
    made = Domain(libvirtd, tmp_path)
    yield made
    made.end()


def test_a_machine_that_stands_still_when_the_daemon_dies_runs_as_soon_as_one_lives(
    libvirtd: Libvirtd, host: Domain
) -> None:
    """Whoever held it lives too, and cannot let it run: its keeper does, though it was let go."""
    machine, tracking = host.since_first()
    assert host.runs()
    freezing = machine.prepare(tracking)
    freezing.hold()
    libvirtd.keep_dead()
    with pytest.raises(Unavailable):
        freezing.cut()
    freezing.cancel()
    machine.close()
    libvirtd.boot()
    host.reconnect()
    wait_until(host.runs)
    machine = host.adopt()
    assert machine.settle(tracking) == tracking
    machine.close()
    host.must_be_clean()


def test_a_backup_that_a_killed_daemon_lost_is_told_before_anything_stands_still() -> None:
    """libvirt waits for its end until the machine was off and the daemon began anew."""
    with running() as daemon:
        host = Domain(daemon, daemon.room)
        machine, tracking = host.since_first()
        assert host.runs()
        machine.close()
        daemon.keep_dead()
        daemon.run("sed", "-i", rf"s|^  <devices>|  {_LOST}\n&|", "/run/libvirt/qemu/web.xml")
        daemon.boot()
        host.reconnect()
        machine = host.adopt()
        for verb in (machine.settle, machine.prepare, machine.freeze):
            with pytest.raises(Unavailable, match="a backup that it lost") as told:
                verb(tracking)
            assert "restart the daemon" in told.value.cure
        assert host.runs()
        machine.close()
        host.domain.destroy()
        daemon.kill()
        host.reconnect()
        host.start()
        machine = host.adopt()
        assert machine.settle(tracking) == tracking
        machine.freeze(tracking).keep()
        machine.close()
        host.must_be_clean()
        host.end()


def test_a_machine_that_ends_in_an_instant_leaves_nothing_that_records_for_nobody(
    host: Domain,
) -> None:
    machine, tracking = host.since_first()
    frozen = machine.freeze(tracking)
    host.domain.destroy()  # with a SIGTERM first: images store what was recorded
    with pytest.raises(Unavailable, match="web is off"):
        frozen.drop()
    machine.close()
    host.start()
    machine = host.adopt()
    assert machine.settle(tracking) == tracking
    machine.close()
    host.must_be_clean()


def test_what_qemu_records_and_libvirt_never_knew_is_deleted(host: Domain) -> None:
    """As where a machine was destroyed after QEMU began, and before libvirt wrote that down."""
    machine, tracking = host.since_first()
    for name in ("bascule-unknown", "bascule-elsewhere", "theirs"):
        words = f"<domaincheckpoint><name>{name}</name></domaincheckpoint>"
        host.domain.checkpointCreateXML(words).delete(_METADATA_ONLY)
    for name in ("bascule-unknown", "bascule-never"):
        (host.room / "run" / f"{name}.begun").touch()
    assert machine.settle(tracking) == tracking
    ours = set(tracking.values())
    assert host.bitmaps() == {*ours, "bascule-elsewhere", "theirs"}, "only what we began here is ours"
    assert host.checkpoints() == ours
    assert list((host.room / "run").iterdir()) == []
    machine.close()
