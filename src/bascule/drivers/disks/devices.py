"""Block devices as a target: found by a name that stays, opened alone, and checked through the descriptor.

`/dev/sdb` may be another disk after the next boot; the links of `/dev/disk/by-id`
and the names of device mapper are not. Everything is asked again of the descriptor
that is then written, so that a link that moves between check and open changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bascule.model.errors import Refused

from .faults import fault, translated

STABLE = (Path("/dev/disk/by-id"), Path("/dev/mapper"))
_SYS = Path("/sys/dev/block")
_SERIALS = ("wwid", "serial", "device/wwid", "device/serial", "dm/uuid", "loop/backing_file")


def device_size(fd: int) -> int:
    """Return the bytes of an open block device."""
    return os.lseek(fd, 0, os.SEEK_END)


def open_exclusively(path: Path, serial: str | None, stable: tuple[Path, ...], flags: int = 0) -> int:
    """Open a device for writing that nobody else holds, by a name that will still mean it tomorrow.

    ``serial`` is what ``serial_of`` told when the device was chosen, if it did.
    """
    if path.parent not in stable:
        raise Refused(
            f"{path} is a name that may mean another disk after a restart",
            cure=f"name it by its link in {stable[0]}{_advice(path, stable)}",
        )
    try:
        fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC | flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise Refused(f"{path} is held: {_who_holds(path)}", cure="release the device first") from error
        raise fault(error, f"open {path}") from error
    try:
        _check_identity(fd, path, serial)
    except BaseException:
        os.close(fd)
        raise
    return fd


def serial_of(fd: int) -> str:
    """Return the name that the hardware gives an open device, or an empty text."""
    entry = _entry(os.fstat(fd).st_rdev)
    for name in _SERIALS:
        with contextlib.suppress(OSError):
            text = (entry / name).read_text(errors="replace").strip()
            if text:
                return text
    return ""


def _check_identity(fd: int, path: Path, serial: str | None) -> None:
    opened = os.fstat(fd)
    if not stat.S_ISBLK(opened.st_mode):
        raise Refused(f"{path} is not a block device any more", cure="look at what took its name")
    with translated(f"look at {path} again"):
        if path.stat().st_rdev != opened.st_rdev:
            raise Refused(f"{path} came to mean another disk while it was opened", cure="try again")
    if serial is not None and serial_of(fd) != serial:
        raise Refused(
            f"{path} is the disk {serial_of(fd) or 'without a serial'}, not {serial}",
            cure="choose the disk again",
        )


def _entry(rdev: int) -> Path:
    return _SYS / f"{os.major(rdev)}:{os.minor(rdev)}"


def _advice(path: Path, stable: tuple[Path, ...]) -> str:
    """Name the links that lead to the device, to be pasted."""
    found: list[str] = []
    for folder in stable:
        with contextlib.suppress(OSError):
            wanted = path.stat().st_rdev
            found += [str(link) for link in folder.iterdir() if link.stat().st_rdev == wanted]
    return f": {' or '.join(sorted(found)[:3])}" if found else ""


def _who_holds(path: Path) -> str:
    """Say what is known of the holder: mounts, swap, device mapper, of the device or a partition of it."""
    with contextlib.suppress(OSError):
        entry = _entry(path.stat().st_rdev)
        numbers = set(_numbers(entry))
        mounts = [
            fields[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if (fields := line.split())[2] in numbers
        ]
        if mounts:
            return f"it is mounted at {', '.join(mounts)}"
        holders = [holder.name for holder in entry.glob("**/holders/*")]
        if holders:
            return f"{', '.join(holders)} is built on it"
    return "it is swap space, or another program has it for itself"


def _numbers(entry: Path) -> Iterator[str]:
    """Yield MAJOR:MINOR of a device and of its partitions."""
    yield entry.joinpath("dev").read_text().strip()
    for partition in entry.resolve().glob("*/partition"):
        yield partition.with_name("dev").read_text().strip()
