"""Programs that run inside guests: C, with no library of the guest; compiled once, kept in ``.cache``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def compiled(name: str) -> Path:
    """Return the program made of ``NAME.c``; the set-up installs the compiler."""
    source = Path(__file__).with_name(f"{name}.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    made = _ROOT / ".cache" / "guest-programs" / f"{name}-{digest}"
    if made.exists():
        return made
    if shutil.which("gcc") is None:
        subprocess.run([_ROOT / "scripts/setup", "system"], check=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    aside = made.with_suffix(f".{os.getpid()}")
    subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", aside, source], check=True)
    aside.rename(made)
    return made
