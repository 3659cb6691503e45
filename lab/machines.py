"""Machines that boot from disks of their own, keep a ledger on the others, and obey their power button.

Nothing of them is on the host: a copy of their disks is a copy of them. What one machine has of its
own, such as its name, stands in the boot loader's words to the kernel; all else is the same in every boot
disk, and is made once. A boot disk is not written to by its machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic

from . import bootable, filesystems
from .bootable import MIB
from .filesystems import tool
from .guests import KERNEL_WORDS, ROOT, VIRTIO_DISK, Guest, agent_files, file_drive, initramfs, kit
from .programs import compiled

BOOT_MIB = 40
_POWER_BUTTON = ("drivers/acpi/button.ko", "drivers/input/evdev.ko")
_NETWORK = ("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko")
_SERIAL = ("drivers/char/virtio_console.ko",)

_SCRIPT = """
for word in $(cat /proc/cmdline); do
    case $word in lab.*=*) export "${word#lab.}" ;; esac
done
mkdir -p /run /var/run /var/log
link=-
if [ -e /sys/class/net/eth0 ]; then
    link=eth0
    ip link set eth0 up
    [ -z "$address" ] || ip addr add "$address" dev eth0
fi
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] || continue
    [ ! -e /bin/qemu-ga ] || /bin/qemu-ga -d -p /dev/${port##*/} -t /run -f /run/agent.pid -l /run/agent.log
done 2> /dev/null
places=$(ls /dev/vd[b-h])
if [ "$files" = True ]; then
    for disk in $places; do
        mkdir -p /data/${disk#/dev/}
        mount -t ext4 $disk /data/${disk#/dev/}
    done
    places=$(ls /data/*/ledger)
fi
/bin/ledger "$name" "$records" "$writes" "$slots" $link $places > /dev/console 2>&1 &
echo $! > /ledger.pid
mkdir -p /etc/acpi/PWRF /sbin
printf '#!/bin/sh\\nkill -TERM $(cat /ledger.pid)\\n' > /sbin/shutdown
chmod +x /sbin/shutdown
ln -s /sbin/shutdown /etc/acpi/PWRF/00000080
acpid
wait $(cat /ledger.pid)
[ "$files" != True ] || umount /data/*
"""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A machine and how it keeps its ledger; ``address`` is IPv4 with its prefix length, of the first card.

    64 records a second with 20 writes each are 5 MB a second. With ``on_files`` each disk has an ext4, and
    the ledger is a file on it. With ``agent`` QEMU's guest agent answers at its channel.
    """

    name: str
    records_a_second: int = 20
    writes_a_record: int = 0
    slots: int = 256
    disks: int = 2
    disk_mib: int = 16
    nics: tuple[Nic, ...] = ()
    address: str = ""
    on_files: bool = False
    agent: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the names of the disks, that to boot from first; the others are the ledger's, in order."""
        return ("boot", *(f"data{number}" for number in range(1, self.disks + 1)))


def make(keeping: Keeping, folder: Path, *, image_format: str = "qcow2") -> MachineDefinition:
    """Make the disks of a machine in a folder, and return what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [DiskPlace(disk, str(folder / f"{disk}.{image_format}"), image_format) for disk in keeping.ids]
    boot = folder / "boot.new"
    boot_disk(keeping, boot)
    tool("qemu-img", "convert", "-f", "raw", "-O", image_format, boot, places[0].words)
    boot.unlink()
    for place in places[1:]:
        if keeping.on_files:
            _with_files(keeping, Path(place.words), image_format)
        else:
            tool("qemu-img", "create", "-q", "-f", image_format, place.words, f"{keeping.disk_mib}M")
    return MachineDefinition(keeping.name, Hardware(memory_mib=256, nics=keeping.nics), tuple(places))


def ledger_disks(definition: MachineDefinition) -> list[str]:
    """Return where the disks of the ledger are, in the order in which it is judged."""
    return [
        place.words if "://" in place.words else f"{place.words}?format={place.format}"
        for place in definition.disks
        if place.id != "boot"
    ]


def ledger_files(images: Sequence[Path], folder: Path) -> list[str]:
    """Take the ledger out of raw images with file systems; raise ToolFailed for one that is not at rest."""
    names = []
    for image in images:
        filesystems.check_at_rest(image)
        names.append(f"{folder / image.stem}.ledger")
        filesystems.read(image, "ledger", Path(names[-1]))
    return [f"{name}?format=raw" for name in names]


def guest(definition: MachineDefinition, options: Sequence[str] = (), *, within: Sequence[str] = ()) -> Guest:
    """Return the machine as a guest of this process, not started; a host's machines are a hypervisor's."""
    places = enumerate(definition.disks)
    drives = [
        word for number, place in places for word in file_drive(number, Path(place.words), place.format)
    ]
    return Guest(None, drives, definition.hardware.memory_mib, options, within)


def _with_files(keeping: Keeping, target: Path, image_format: str) -> None:
    """Make a disk with a file system on it, half of which is the file for the ledger."""
    raw, tree = target.with_suffix(".new"), target.with_suffix(".tree")
    tree.mkdir()
    with (tree / "ledger").open("wb") as file:
        file.truncate(keeping.disk_mib * MIB // 2)
    filesystems.make(raw, keeping.disk_mib * MIB, tree)
    tool("qemu-img", "convert", "-f", "raw", "-O", image_format, raw, target)
    shutil.rmtree(tree)
    raw.unlink()


def boot_disk(keeping: Keeping, target: Path) -> None:
    """Make a raw disk that boots the machine."""
    words = {
        "name": keeping.name,
        "records": keeping.records_a_second,
        "writes": keeping.writes_a_record,
        "slots": keeping.slots,
        "address": keeping.address,
        "files": keeping.on_files,
    }
    line = " ".join([KERNEL_WORDS, *(f"lab.{word}={value}" for word, value in words.items())])
    tool("cp", "--sparse=always", "--reflink=auto", _common_boot_disk(agent=keeping.agent), target)
    bootable.tell(target, line)


def _common_boot_disk(*, agent: bool) -> Path:
    """Return the boot disk without the words that make it one machine's, made if it is not there yet."""
    modules = (*VIRTIO_DISK, *_POWER_BUTTON, *_NETWORK, *_SERIAL)
    kernel = kit() / "vmlinuz"
    files = {"bin/ledger": compiled("ledger").read_bytes(), **(agent_files() if agent else {})}
    recipe = (Path(__file__).read_bytes(), Path(bootable.__file__).read_bytes())
    parts = (*recipe, kernel.read_bytes(), *files.values())
    made = ROOT / ".cache" / "lab" / f"boot-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.raw"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    aside = made.with_suffix(f".{os.getpid()}")
    initrd = initramfs(aside.with_suffix(".initrd"), _SCRIPT, modules=modules, files=files)
    bootable.make(aside, {"vmlinuz": kernel, "initrd": initrd}, boot_mib=BOOT_MIB)
    initrd.unlink()
    aside.rename(made)
    return made
