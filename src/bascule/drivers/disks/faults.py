"""What is wrong with a request, and what the operating system's errors mean to whoever made it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bascule.model.errors import BasculeError, Damaged, Exists, Missing, Refused, Unavailable

_KINDS: dict[int, tuple[type[BasculeError], str]] = {
    errno.ENOENT: (Missing, "check the path"),
    errno.EEXIST: (Exists, "choose another path, or ask to replace it"),
    errno.EACCES: (Refused, "run as a user who may"),
    errno.EPERM: (Refused, "run as a user who may"),
    errno.EROFS: (Refused, "choose a file system that is not mounted read-only"),
    errno.EBUSY: (Refused, "end whatever holds it first"),
    errno.EISDIR: (Refused, "name a disk, not a directory"),
    errno.ENOTDIR: (Refused, "check the path"),
    errno.ELOOP: (Refused, "check the path"),
    errno.ENAMETOOLONG: (Refused, "choose a shorter path"),
    errno.EINVAL: (Refused, ""),
    errno.EFBIG: (Refused, "choose a file system that holds files of this size"),
    errno.ENOSPC: (Unavailable, "free some space"),
    errno.EDQUOT: (Unavailable, "free some space, or raise the quota"),
    # A medium that cannot give back what it holds; asking again wears it further.
    errno.EIO: (Damaged, "look into the kernel's log, and replace the medium"),
}


def fault(error: OSError, doing: str) -> BasculeError:
    """Say in one of our families what ``error`` did to ``doing``."""
    family, cure = _KINDS.get(error.errno or 0, (Unavailable, ""))
    return family(f"{doing}: {(error.strerror or str(error)).lower()}", cure=cure)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn an OSError that leaves the block into one of our families."""
    try:
        yield
    except OSError as error:
        raise fault(error, doing) from error


def check_range(name: str, is_open: bool, size: int, offset: int, length: int) -> None:
    """Refuse a closed disk, and a range that is not inside it."""
    if not is_open:
        raise Refused(f"{name} is closed")
    if offset < 0 or length < 0 or offset + length > size:
        raise Refused(f"{length} bytes at {offset} are not inside {name} of {size} bytes")
