from __future__ import annotations

import errno

import pytest

from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable
from bascule.wire.nbd.protocol import constants as nbd
from bascule.wire.nbd.protocol.errors import error_of, number_of


def caused(error: BasculeError, number: int) -> BasculeError:
    error.__cause__ = OSError(number, "")
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (Unavailable("away"), nbd.EIO),
        (Damaged("torn"), nbd.EIO),
        (Refused("no"), nbd.EPERM),
        (Missing("gone"), nbd.EPERM),
        (OSError(errno.ENOSPC, ""), nbd.ENOSPC),
        (OSError(errno.EDQUOT, ""), nbd.ENOSPC),
        (OSError(errno.EROFS, ""), nbd.EPERM),
        (OSError(errno.ECHILD, ""), nbd.EIO),
        (OSError("no number"), nbd.EIO),
        (caused(Unavailable("full"), errno.ENOSPC), nbd.ENOSPC),
        (caused(Unavailable("reset"), errno.ECONNRESET), nbd.EIO),
    ],
)
def test_an_exports_error_becomes_one_of_the_protocols(error: BasculeError | OSError, number: int) -> None:
    assert number_of(error) == number


@pytest.mark.parametrize(
    ("number", "family"),
    [
        (nbd.EPERM, Refused),
        (nbd.EINVAL, Refused),
        (nbd.EOVERFLOW, Refused),
        (nbd.ENOTSUP, Refused),
        (nbd.EIO, Unavailable),
        (nbd.ENOMEM, Unavailable),
        (nbd.ENOSPC, Unavailable),
        (nbd.ESHUTDOWN, Unavailable),
        (4711, Unavailable),
    ],
)
def test_a_servers_error_becomes_one_of_our_families(number: int, family: type[BasculeError]) -> None:
    error = error_of(number, "disk: read of 1 bytes at 0", "because")
    assert type(error) is family
    assert "(because)" in str(error)


def test_a_full_disk_has_a_code_of_its_own() -> None:
    assert error_of(nbd.ENOSPC, "disk", "").code == "no-space"
