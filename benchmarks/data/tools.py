"""Installs what the benchmark compares with, when it is not there yet."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Final

from .process import Failed, run, say

_REPOSITORY: Final = Path(__file__).resolve().parents[2]

# The released benji pins libraries that no longer build; these are the nearest that do.
_BENJI_OVERRIDES: Final = (
    "ruamel.yaml<0.18",
    "sqlalchemy<2",
    "alembic<1.13",
    "prettytable<1",
    "setuptools<81",
)


def apt(command: str, package: str) -> None:
    """Make a command available from the distribution's packages."""
    if shutil.which(command):
        return
    say(f"installing {package}")
    wait = "DPkg::Lock::Timeout=600"
    run(["apt-get", "-o", wait, "install", "-y", "--no-install-recommends", package], env=_quiet())
    if not shutil.which(command):
        raise Failed(f"{package} is installed, but there is no {command}")


def benji(cache: Path) -> Path:
    """Return the benji command, in a virtual environment of its own."""
    room = cache / "tools" / "benji"
    command = room / "bin" / "benji"
    python = room / "bin" / "python"
    if not _works(python, "import benji, zstandard"):
        say("installing benji")
        uv = _uv(cache)
        overrides = room.with_name("benji-overrides.txt")
        overrides.parent.mkdir(parents=True, exist_ok=True)
        overrides.write_text("\n".join(_BENJI_OVERRIDES) + "\n")
        run([uv, "venv", "--clear", "--python", sys.executable, room])
        wanted = ["benji[compression]", "setuptools<81"]
        run([uv, "pip", "install", "--python", python, "--override", overrides, *wanted])
    return command


def azurite() -> Path:
    """Return the emulator of Azure Blob, as the repository's set-up installs it."""
    run([_REPOSITORY / "scripts" / "setup", "azurite"])
    return _REPOSITORY / ".cache" / "azurite" / "node_modules" / ".bin" / "azurite-blob"


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _uv(cache: Path) -> Path:
    """Return uv, which can override a package's pins where pip cannot."""
    beside = Path(sys.executable).with_name("uv")
    if beside.exists():
        return beside
    room = cache / "tools" / "uv"
    run([sys.executable, "-m", "venv", "--clear", room])
    run([room / "bin" / "python", "-m", "pip", "install", "uv"])
    return room / "bin" / "uv"


def _works(python: Path, program: str) -> bool:
    """Whether a virtual environment still has what it needs."""
    try:
        run([python, "-c", program])
    except (Failed, OSError):
        return False
    return True


def _quiet() -> dict[str, str]:
    return {"DEBIAN_FRONTEND": "noninteractive", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
