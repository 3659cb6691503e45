"""Machines that boot from disks of their own, keep a ledger on the others, and obey their power button.

Nothing of them is on the host: a copy of their disks is a copy of them. What one machine has of its
own, such as its name, stands in the boot loader's words to the kernel; all else is the same in every boot
disk, and is made once. A boot disk is not written to by its machine.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic

from .filesystems import tool
from .guests import ROOT, VIRTIO_DISK, Guest, file_drive, initramfs, kit
from .programs import compiled

MIB = 1 << 20
BOOT_MIB = 40
_PARTITION = 2048  # sectors before it
_POWER_BUTTON = ("drivers/acpi/button.ko", "drivers/input/evdev.ko")
_NETWORK = ("net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko")
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")

_SCRIPT = """
for word in $(cat /proc/cmdline); do
    case $word in lab.*=*) export "${word#lab.}" ;; esac
done
link=-
if [ -e /sys/class/net/eth0 ]; then
    link=eth0
    ip link set eth0 up
    [ -z "$address" ] || ip addr add "$address" dev eth0
fi
/bin/ledger "$name" "$records" "$writes" "$slots" $link /dev/vd[b-h] > /dev/console 2>&1 &
echo $! > /ledger.pid
mkdir -p /etc/acpi/PWRF /var/run /var/log
printf '#!/bin/sh\\nkill -TERM $(cat /ledger.pid)\\n' > /etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid
wait $(cat /ledger.pid)
"""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A machine and how it keeps its ledger; ``address`` is IPv4 with its prefix length, of the first card.

    64 records a second with 20 writes each are 5 MB a second.
    """

    name: str
    records_a_second: int = 20
    writes_a_record: int = 0
    slots: int = 256
    disks: int = 2
    disk_mib: int = 16
    nics: tuple[Nic, ...] = ()
    address: str = ""

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
        tool("qemu-img", "create", "-q", "-f", image_format, place.words, f"{keeping.disk_mib}M")
    return MachineDefinition(keeping.name, Hardware(memory_mib=256, nics=keeping.nics), tuple(places))


def ledger_disks(definition: MachineDefinition) -> list[str]:
    """Return where the disks of the ledger are, in the order in which it is judged."""
    return [
        place.words if "://" in place.words else f"{place.words}?format={place.format}"
        for place in definition.disks
        if place.id != "boot"
    ]


def guest(definition: MachineDefinition, options: Sequence[str] = ()) -> Guest:
    """Return the machine as a guest of this process, not started; a host's machines are a hypervisor's."""
    places = enumerate(definition.disks)
    drives = [
        word for number, place in places for word in file_drive(number, Path(place.words), place.format)
    ]
    return Guest(None, drives, definition.hardware.memory_mib, options)


def boot_disk(keeping: Keeping, target: Path) -> None:
    """Make a raw disk that boots the machine."""
    words = {
        "name": keeping.name,
        "records": keeping.records_a_second,
        "writes": keeping.writes_a_record,
        "slots": keeping.slots,
        "address": keeping.address,
    }
    line = " ".join(
        ["console=ttyS0 quiet panic=-1", *(f"lab.{word}={value}" for word, value in words.items())]
    )
    settings = target.with_suffix(".cfg")
    settings.write_text(f"default lab\nlabel lab\n linux vmlinuz\n initrd initrd\n append {line}\n")
    tool("cp", "--sparse=always", "--reflink=auto", _common_boot_disk(), target)
    tool("mcopy", "-i", f"{target}@@{_PARTITION * 512}", settings, "::syslinux.cfg")
    settings.unlink()


def _common_boot_disk() -> Path:
    """Return the boot disk without the words that make it one machine's, made if it is not there yet."""
    modules = (*VIRTIO_DISK, *_POWER_BUTTON, *_NETWORK)
    program, kernel = compiled("ledger"), kit() / "vmlinuz"
    parts = (Path(__file__).read_bytes(), program.read_bytes(), kernel.read_bytes())
    made = ROOT / ".cache" / "lab" / f"boot-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.raw"
    if made.exists():
        return made
    if not _MBR.exists():
        subprocess.run([ROOT / "scripts/setup", "system"], check=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    aside = made.with_suffix(f".{os.getpid()}")
    initrd = initramfs(
        aside.with_suffix(".initrd"), _SCRIPT, modules=modules, files={"bin/ledger": program.read_bytes()}
    )
    _partitioned(aside)
    where = f"{aside}@@{_PARTITION * 512}"
    sectors = BOOT_MIB * MIB // 512 - _PARTITION
    tool("mkfs.vfat", "-n", "BOOT", "--offset", str(_PARTITION), aside, str(sectors // 2))
    tool("mcopy", "-i", where, kernel, "::vmlinuz")
    tool("mcopy", "-i", where, initrd, "::initrd")
    tool("syslinux", "--install", "--offset", str(_PARTITION * 512), aside)
    initrd.unlink()
    aside.rename(made)
    return made


def _partitioned(path: Path) -> None:
    """Make a disk with a boot sector and one active partition."""
    sectors = BOOT_MIB * MIB // 512 - _PARTITION
    active, fat_by_blocks, no_cylinder = 0x80, 0x0C, b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", active, no_cylinder, fat_by_blocks, no_cylinder, _PARTITION, sectors)
    with path.open("wb") as disk:
        disk.truncate(BOOT_MIB * MIB)
        disk.write(_MBR.read_bytes()[:440].ljust(446, b"\0") + entry.ljust(64, b"\0") + b"\x55\xaa")
