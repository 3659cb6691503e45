"""Whether machines may use KVM here: found out by booting one, never by looking for a device.

There are hosts that have ``/dev/kvm`` and on which guests hang behind it, or run fifty times slower than
without. So a boot sector is run both ways: it goes to 64 bits with paging, counts a million in memory
and says so through a port, which takes emulation 0.1 s. Where KVM does not get there, or only much
later, the verdict is ``tcg``. It is kept in the host's folder for this boot of the host and this QEMU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bascule.model.errors import Refused

from .command import QEMU
from .folder import HostFolder, replace_durably

AUTO, KVM, TCG = "auto", "kvm", "tcg"
_SECONDS = 20.0
_TIMES_SLOWER = 4
_GRACE_SECONDS = 1.0
_SAID_SO = 33  # what isa-debug-exit makes of the 16 that the boot sector writes
_KVM = Path("/dev/kvm")

# Real mode: clear and fill page tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (one page of 2 MiB); open A20;
# CR4.PAE, CR3, EFER.LME, CR0.PG and PE, far jump. Long mode: a million times incq 0x8000; cpuid; 16 to port
# 0xf4; hlt.
_BOOT_SECTOR = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf00106631c0b9000cfc66f3ab66c70600100320000066c70600200330000066c706"
    "003083000000e4920c02e69266b8200000000f22e066b8001000000f22d866b9800000c00f32660d000100000f30"
    "0f0116b07c66b8010000800f22c0ea6f7c080066b810008ed88ed048c7c10000100048ff04250080000048ffc975"
    "f30fa2b010e6f4f4ebfd0f1f4000000000000000000000000000009a200000000000009200001700987c"
)


def accelerator(folder: HostFolder, wanted: str = AUTO) -> str:
    """Return ``kvm`` or ``tcg``: what was asked for, or what is known, or what is found out now."""
    if wanted in (KVM, TCG):
        return wanted
    if wanted != AUTO:
        raise Refused(f"there is no accelerator {wanted!r}", cure=f"choose from {AUTO}, {KVM}, {TCG}")
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return TCG
    kept, now = folder.path / "accelerator.json", _circumstances()
    known = _known(kept)
    if {**now, "verdict": known.get("verdict", "")} == known:
        return known["verdict"]
    with folder.held():
        found = _found()
        replace_durably(kept, json.dumps({**now, "verdict": found}))
    return found


def _circumstances() -> dict[str, str]:
    binary = shutil.which(QEMU) or ""
    changed = str(Path(binary).stat().st_mtime_ns) if binary else ""
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "qemu": f"{binary} {changed}",
    }


def _known(kept: Path) -> dict[str, str]:
    try:
        read = json.loads(kept.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _found() -> str:
    emulated = probe(TCG, _SECONDS)
    if emulated is None:
        return TCG  # whatever is wrong here, the start of a machine will say it
    limit = _GRACE_SECONDS + _TIMES_SLOWER * emulated
    return TCG if probe(KVM, limit) is None else KVM


def probe(kind: str, limit: float) -> float | None:
    """Return the seconds that the boot sector takes, or None if it does not get there in time."""
    with tempfile.NamedTemporaryFile(prefix="bascule-probe-") as image:
        image.write(_BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa")
        image.truncate(1 << 20)  # from a disk of one sector the BIOS does not boot
        image.flush()
        # Ended by a process of its own, so that a guest that hangs is ended even if we are killed meanwhile.
        command = ["timeout", "-s", "KILL", f"{limit:.3f}"]
        command += [QEMU, "-accel", kind, "-machine", "q35", "-m", "32", "-nodefaults"]
        command += ["-no-user-config", "-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
        command += ["-drive", f"file={image.name},format=raw,if=virtio,snapshot=on"]
        begun = time.monotonic()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return time.monotonic() - begun if done.returncode == _SAID_SO else None
