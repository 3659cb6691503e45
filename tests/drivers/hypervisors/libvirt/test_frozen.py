"""Guests that write while their disks are held, on a real libvirtd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from lab.guests import KERNEL_WORDS, initramfs, kit
from lab.waiting import wait_until
from tests.contracts.machines import SIZE
from tests.servers.libvirtd import Libvirtd, running

from .test_machine import Domain, Make, make

__all__ = ["make"]

pytestmark = pytest.mark.lab

_WRITES = """
say ready
number=0
while dd if=/dev/urandom of=/dev/vda bs=64k count=1 oflag=direct seek=$((number % 64)) 2>/dev/null; do
    number=$((number + 1))
    say wrote $number
done
say "was told of an error"
"""


def test_a_guest_goes_on_when_there_is_no_room_for_what_it_overwrites_and_learns_nothing(
    tmp_path: Path,
) -> None:
    """The keeper ends the backup then, and who reads it gets an error."""
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", run], check=True)
    try:
        with running() as daemon:
            overwrite_more_than_there_is_room_for(daemon, tmp_path)
    finally:
        subprocess.run(["umount", run], check=True)


def writing(room: Path) -> dict[str, str]:
    """Return what makes a domain one whose guest writes, and says so at the console."""
    initramfs(room / "initrd", _WRITES)
    boot = (
        f"<kernel>{kit() / 'vmlinuz'}</kernel><initrd>{room / 'initrd'}</initrd>"
        f"<cmdline>{KERNEL_WORDS}</cmdline>"
    )
    return {"boot": boot, "more": f"<serial type='file'><source path='{room / 'console'}'/></serial>"}


def test_a_guest_whose_disk_an_iothread_serves_writes_on_through_instant_after_instant(
    make: Make, tmp_path: Path
) -> None:
    """Its disk runs there only once its driver is loaded; a reader that left would end the machine."""
    host = make(driver="iothread='1'", **writing(tmp_path))
    machine, tracking = host.since_first()
    host.domain.resume()
    console = tmp_path / "console"
    for number in range(1, 4):
        wait_until(lambda much=f"wrote {number * 40}": much in console.read_text(), 60)
        frozen = machine.freeze(tracking)
        source = host.open(frozen.disks[0].words)
        image = bytearray(SIZE)
        source.read_into(0, memoryview(image))
        assert any(image)
        source.close()
        frozen.keep()
        tracking = dict(frozen.tracking)
    assert host.runs()
    assert "error" not in console.read_text()
    machine.close()
    host.must_be_clean()


def overwrite_more_than_there_is_room_for(daemon: Libvirtd, room: Path) -> None:
    console = room / "console"
    (room / "content").write_bytes(os.urandom(SIZE))  # of holes nothing would have to be kept
    host = Domain(daemon, room, **writing(room))
    host.write("disk0", 0, (room / "content").read_bytes())
    machine = host.adopt()
    machine.settle({})
    frozen = machine.freeze({})
    source = host.open(frozen.disks[0].words)
    host.domain.resume()
    wait_until(lambda: "wrote 100" in console.read_text(), 120)
    assert host.runs()
    with pytest.raises(Unavailable):
        source.read_into(0, memoryview(bytearray(SIZE)))
    source.close()
    frozen.drop()
    assert "error" not in console.read_text()
    machine.close()
    host.end()
