"""The guest of the contract of hosts, for hypervisors that boot real kernels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.model.machines import DirectBoot
from lab.guests import KERNEL_WORDS, VIRTIO_DISK, initramfs, kit
from lab.waiting import wait_until

NETWORK = ("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko")
_MODULES = (*VIRTIO_DISK, "drivers/acpi/button.ko", "drivers/input/evdev.ko", *NETWORK)

# The button's events are opened before the guest is ready, so no request is missed.
_SCRIPT = r"""
mdev -s
set -- $(sed 's/.*address=\([^ ]*\) peer=\([^ ]*\).*/\1 \2/;t;d' /proc/cmdline)
if [ $# = 2 ]; then
    ip address add $1 dev eth0; ip link set eth0 up; say "card $(cat /sys/class/net/eth0/address)"
    (until ping -c 1 -W 1 $2 > /dev/null; do sleep 0.2; done; say "heard $2") &
fi
say "serial $(cat /sys/block/vda/serial)"
say "disks $(grep -c 'vd[a-z]$' /proc/partitions)"
button=/dev/input/$(ls -d /sys/devices/LNXSYSTM*/LNXPWRBN*/input/input*/event* | sed 's,.*/,,')
case "$(cat /proc/cmdline)" in
*temper=brief*) say ready;;
*temper=again*) say ready; reboot -f;;
*temper=busy*) say ready; n=0
    while true; do
        echo 3 > /proc/sys/vm/drop_caches
        if echo $n | dd of=/dev/vda conv=fsync 2> /dev/null && head -c 9 /dev/vda > /dev/null
        then n=$((n + 1)); say "beat $n."; else say "failed at $n"; fi
        sleep 0.1
    done;;
*temper=deaf*) say ready; while true; do sleep 1000; done;;
*) exec 3< $button; say ready; dd of=/dev/null bs=24 count=1 <&3; say asked;;
esac
"""


def made_in(folder: Path) -> Path:
    """Make the guest's initial file system."""
    return initramfs(folder / "guest.initrd", _SCRIPT, modules=_MODULES)


def boot_of(initrd: Path, temper: str = "", more: str = "") -> DirectBoot:
    """Return how to boot it, of a temper that the contract names.

    One of temper *again* reboots as soon as it is ready.
    One that is *busy* writes and reads its first disk and says ``beat N.`` each time, or ``failed``.
    Told ``address=A/N peer=B`` it takes an address and says ``heard B`` when that one answers.
    """
    words = f"{KERNEL_WORDS} temper={temper or 'obedient'} {more}".rstrip()
    return DirectBoot(str(kit() / "vmlinuz"), str(initrd), words)


@contextmanager
def served(image: Path, socket: Path) -> Iterator[None]:
    """Serve an image as ``disk0``, until the block ends or the server dies."""
    server = subprocess.Popen(["qemu-nbd", "-t", "-f", "raw", "-x", "disk0", "-k", socket, image])
    try:
        wait_until(socket.exists)
        yield
    finally:
        server.kill()
        server.wait()
        socket.unlink(missing_ok=True)
