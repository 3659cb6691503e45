"""A whole Debian as a guest: systemd, sshd, PostgreSQL and QEMU's guest agent, booted from its own disk.

``python -m lab.debian`` makes its disk once and keeps it in ``.cache``; that takes a minute or two, the
network and root. At every start the machine adds a row to a table of its database, and says on its
console how many there are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bascule.model.machines import DiskPlace, Hardware, MachineDefinition, Nic

from . import bootable
from .bootable import MIB
from .filesystems import tool
from .guests import KERNEL_WORDS, ROOT

MEMORY_MIB = 768
UP = "debian: up, the database counts"
_ROOT_MIB, _BOOT_MIB = 1536, 64
_PACKAGES = (
    *("linux-image-cloud-amd64", "systemd-sysv", "udev", "dbus", "iproute2"),
    *("openssh-server", "postgresql", "qemu-guest-agent"),
)
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
_WORDS = f"root=LABEL=root {KERNEL_WORDS} net.ifnames=0 mitigations=off systemd.show_status=no"
_SQL = "create table if not exists starts (at timestamptz default now()); insert into starts default values"
_ASK, _COUNT = "runuser -u postgres -- psql -Atc", "select count(*) from starts"
_FILES = {
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1 localhost debian\n",
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    "etc/machine-id": "6c61622d64656269616e2d6775657374\n",
    "etc/systemd/network/lan.network": "[Match]\nName=eth*\n[Network]\nDHCP=yes\n",
    "etc/systemd/system/lab-up.service": f"""[Unit]
After=postgresql@15-main.service ssh.service
Wants=postgresql@15-main.service
[Service]
Type=oneshot
ExecStart={_ASK} "{_SQL}"
ExecStart=sh -c 'echo "{UP} $({_ASK} "{_COUNT}") starts" > /dev/ttyS0'
[Install]
WantedBy=multi-user.target
""",
}
_ENABLED = ("systemd-networkd.service", "lab-up.service")
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer")


class CannotMake(Exception):
    """This machine cannot make a Debian."""


def make(name: str, folder: Path, *, nics: tuple[Nic, ...] = ()) -> MachineDefinition:
    """Make a machine of that name with a disk of its own in a folder, and return what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "boot.qcow2"
    tool("cp", "--reflink=auto", image(), disk)
    hardware = Hardware(cpus=2, memory_mib=MEMORY_MIB, nics=nics)
    return MachineDefinition(name, hardware, (DiskPlace("boot", str(disk), "qcow2"),))


def image() -> Path:
    """Return the disk of which every such machine gets a copy, made if it is not there yet."""
    made = place()
    if made.exists():
        return made
    if os.geteuid():
        raise CannotMake("only root can unpack a Debian with the owners of its files")
    if shutil.which("mmdebstrap") is None:
        subprocess.run([ROOT / "scripts/setup", "system"], check=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as room:
        aside = _made_in(Path(room))
        for older in made.parent.glob("*.qcow2"):
            older.unlink()
        aside.rename(made)
    return made


def place() -> Path:
    """Return where that disk is, or would be: its name says what it was made of."""
    parts = (Path(__file__).read_bytes(), Path(bootable.__file__).read_bytes())
    return ROOT / ".cache" / "debian" / f"{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.qcow2"


def _made_in(room: Path) -> Path:
    tree, raw, whole = room / "root", room / "root.raw", room / "whole.raw"
    tool(*_unpacking(tree))
    for name, content in _FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    tool("chroot", tree, "systemctl", "-q", "enable", *_ENABLED)
    tool("chroot", tree, "systemctl", "-q", "mask", *_MASKED)
    boot = {name: next((tree / "boot").glob(f"{name}*")) for name in ("vmlinuz", "initrd")}
    with raw.open("wb") as disk:
        disk.truncate(_ROOT_MIB * MIB)
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree, raw)
    bootable.make(whole, boot, boot_mib=_BOOT_MIB, room=raw)
    bootable.tell(whole, _WORDS)
    aside = room / "image.qcow2"
    tool("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", whole, aside)
    return aside


def _unpacking(tree: Path) -> list[str | Path]:
    """Return the command that unpacks Debian into a folder, from where this machine has its own."""
    words = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--include={','.join(_PACKAGES)}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    words += ["--dpkgopt=force-unsafe-io", '--aptopt=APT::Install-Recommends "false"']
    return [*words, "bookworm", tree, *_sources()]


def _sources() -> Iterator[Path]:
    """Yield the lists in which this machine's package manager finds Debian 12."""
    found = False
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.*"))):
        if path.suffix in (".list", ".sources") and path.exists() and "bookworm" in path.read_text():
            found = True
            yield path
    if not found:
        raise CannotMake("this machine's package manager knows no Debian 12")


def main() -> int:
    """Make the disk; with ``--made`` only tell whether it is there."""
    if sys.argv[1:] == ["--made"]:
        return 0 if place().exists() else 1
    image()
    return 0


if __name__ == "__main__":
    sys.exit(main())
