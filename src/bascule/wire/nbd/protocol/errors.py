"""Errors on the wire are seven numbers; ours are three families. Both ways of the translation."""

from __future__ import annotations

import errno
from typing import Final

from bascule.model.errors import BasculeError, Refused, Unavailable

from . import constants as nbd

_FROM_OS: Final = {
    errno.EPERM: nbd.EPERM,
    errno.EACCES: nbd.EPERM,
    errno.EROFS: nbd.EPERM,
    errno.ENOSPC: nbd.ENOSPC,
    errno.EDQUOT: nbd.ENOSPC,
    errno.EFBIG: nbd.ENOSPC,
    errno.ENOMEM: nbd.ENOMEM,
    errno.EINVAL: nbd.EINVAL,
    errno.EOPNOTSUPP: nbd.ENOTSUP,
}

_NAMES: Final = {
    nbd.EPERM: "not permitted",
    nbd.EIO: "input/output error",
    nbd.ENOMEM: "out of memory",
    nbd.EINVAL: "invalid request",
    nbd.ENOSPC: "no space left",
    nbd.EOVERFLOW: "too large",
    nbd.ENOTSUP: "not supported",
    nbd.ESHUTDOWN: "shutting down",
}

_REFUSALS: Final = (nbd.EPERM, nbd.EINVAL, nbd.EOVERFLOW, nbd.ENOTSUP)


def number_of(error: BasculeError | OSError) -> int:
    """Return what a client is told of an export's error: EIO unless it says something better."""
    if isinstance(error, OSError):
        return _FROM_OS.get(error.errno or 0, nbd.EIO)
    cause = error.__cause__
    if isinstance(cause, OSError):
        return _FROM_OS.get(cause.errno or 0, nbd.EIO)
    return nbd.EPERM if isinstance(error, Refused) else nbd.EIO


def error_of(number: int, doing: str, message: str) -> BasculeError:
    """Return what a server's error means for us."""
    why = _NAMES.get(number, f"error {number}")
    text = f"{doing}: {why}" + (f" ({message})" if message else "")
    code = "no-space" if number == nbd.ENOSPC else ""
    return Refused(text, code=code) if number in _REFUSALS else Unavailable(text, code=code)
