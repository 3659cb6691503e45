"""Tiny Linux guests under QEMU: a kernel, a busybox, and a script of yours that runs as init.

A guest boots in two or three seconds under emulation (never KVM: the same everywhere),
runs its script and powers off. What it says goes to a console that the host reads.
``scripts/setup guest`` puts kernel and busybox into ``.cache/guest``.
"""

from __future__ import annotations

import gzip
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KIT = ROOT / ".cache" / "guest"

# In the order they must be loaded.
VIRTIO_DISK = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
)

KERNEL_WORDS = "console=ttyS0 quiet panic=-1 no_timer_check"
"""What a guest's kernel is told.

It tests its timer by counting ticks while it counts loops, and panics ("timer doesn't work") where the host
has no time for it meanwhile: seen on a host under load. Under KVM it knows better by itself.
"""

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /mnt
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module; done
say() {{ echo "guest: $*" > /dev/console; }}
say up
(
{script}
)
say "script ended with $?"
poweroff -f
"""


def initramfs(
    target: Path,
    script: str,
    *,
    modules: Sequence[str] = VIRTIO_DISK,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Make an initial file system that runs ``script`` (busybox sh; ``say WORDS`` writes to the console)."""
    kit()
    names = [Path(module).name for module in modules]
    init = _INIT.format(modules=" ".join(names), script=script)
    content = {"init": init.encode(), "bin/busybox": (KIT / "busybox").read_bytes(), **(files or {})}
    content |= {f"modules/{Path(module).name}": (KIT / "modules" / module).read_bytes() for module in modules}
    folders = sorted({parent.as_posix() for name in content for parent in Path(name).parents if parent.name})
    entries = [(name, 0o40755, b"") for name in folders]
    entries += [(name, 0o100755, data) for name, data in sorted(content.items())]
    archive = b"".join(_entry(*entry) for entry in [*entries, ("TRAILER!!!", 0, b"")])
    target.write_bytes(gzip.compress(archive, 1))
    return target


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """One file of a cpio archive in the form the kernel reads (newc)."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def kit() -> Path:
    """Return the folder with kernel, busybox and modules, made by the set-up script if it is not there."""
    if not (KIT / "vmlinuz").exists():
        subprocess.run([ROOT / "scripts/setup", "guest"], check=True)
    return KIT


def agent_files() -> dict[str, bytes]:
    """Return QEMU's guest agent and its libraries, as files of an initial file system."""
    folder = ROOT / ".cache" / "agent"
    if not (folder / "bin/qemu-ga").exists():
        subprocess.run([ROOT / "scripts/setup", "agent"], check=True)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def agent_channel(socket: Path) -> list[str]:
    """Return QEMU's arguments for the channel to the guest agent, which the host finds at a Unix socket."""
    return [
        *("-chardev", f"socket,id=agent,path={socket},server=on,wait=off", "-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
    ]


def ext4_image(path: Path, size_bytes: int, files: Mapping[str, bytes]) -> Path:
    """Make a raw image with an ext4 that holds ``files``; no root needed."""
    tree = path.with_suffix(".tree")
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    with open(path, "wb") as image:
        image.truncate(size_bytes)
    command = ["mkfs.ext4", "-q", "-F", "-d", str(tree), "-U", "random", str(path)]
    subprocess.run(command, check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    return path


def nbd_drive(number: int, socket: Path | str, export: str, *, read_only: bool = False) -> list[str]:
    """Return QEMU's arguments for a virtio disk on an NBD export behind a Unix socket."""
    node = f"driver=nbd,node-name=d{number},server.type=unix,server.path={socket},export={export}"
    options = f"reconnect-delay=60,discard=unmap,read-only={'on' if read_only else 'off'}"
    return ["-blockdev", f"{node},{options}", "-device", f"virtio-blk-pci,id=disk{number},drive=d{number}"]


def file_drive(number: int, path: Path, driver: str = "raw") -> list[str]:
    """Return QEMU's arguments for a virtio disk on an image file."""
    node = f"driver={driver},node-name=d{number},file.driver=file,file.filename={path},discard=unmap"
    return ["-blockdev", node, "-device", f"virtio-blk-pci,id=disk{number},drive=d{number}"]


@dataclass
class Guest:
    """A running guest. ``wait`` for it, or ``kill`` it; it never outlives this process.

    With ``initrd`` it gets the kit's kernel, without it boots from its first disk. ``within`` are the words
    that make a process one of a host of the lab's sites.
    """

    initrd: Path | None
    drives: Sequence[str] = ()
    memory_mib: int = 256
    options: Sequence[str] = ()
    within: Sequence[str] = ()
    _said: list[str] = field(default_factory=list)
    _heard: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> Guest:
        """Boot."""
        command = [
            *self.within,
            "setpriv",
            "--pdeathsig",
            "KILL",
            "qemu-system-x86_64",
            "-machine",
            "q35,accel=tcg",
        ]
        command += ["-m", str(self.memory_mib), "-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-serial", "stdio", *self.drives, *self.options]
        if self.initrd is not None:
            command += ["-kernel", str(kit() / "vmlinuz"), "-initrd", str(self.initrd)]
            command += ["-append", KERNEL_WORDS]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    @property
    def console(self) -> str:
        """Return what was said so far."""
        return "".join(self._said)

    def hear(self, words: str, seconds: float = 60) -> None:
        """Wait until the console shows ``words``, or raise TimeoutError."""
        with self._heard:
            if not self._heard.wait_for(lambda: words in self.console or self._is_over(), seconds):
                raise TimeoutError(f"the guest did not say {words!r}:\n{self.console}")
        if words not in self.console:
            raise TimeoutError(f"the guest ended without saying {words!r}:\n{self.console}")

    def wait(self, seconds: float = 120) -> str:
        """Wait for the power to go off and return the console, or kill it and raise TimeoutError."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise TimeoutError(f"the guest did not power off:\n{self.console}") from error
        self._listener.join(10)
        return self.console

    def kill(self) -> None:
        """Cut the power; safe to call twice."""
        self._process.kill()
        self._process.wait()
        self._listener.join(10)

    def __enter__(self) -> Guest:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _is_over(self) -> bool:
        return self._process.poll() is not None and not self._listener.is_alive()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._heard:
                    self._said.append(line.decode(errors="replace"))
                    self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()
