"""Errors, sorted by what the reader should do.

Refused: do not ask again as it is. Unavailable: ask later, the only family that
is retried. Damaged: stop, and keep the evidence. HTTP status, exit code and
retry follow the family; ``code`` is stable and is what scripts look at.
"""

from __future__ import annotations

from typing import ClassVar


class BasculeError(Exception):
    """An error that names what happened, why, and what to do about it."""

    code: str = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, cure: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.cure})" if self.cure else self.message


class Refused(BasculeError):
    """The request is wrong as it stands; asking again changes nothing."""

    code = "refused"
    exit_code = 2


class Missing(Refused):
    """What was named is not there."""

    code = "missing"


class Exists(Refused):
    """A create-if-absent found the name taken."""

    code = "exists"


class Fenced(Refused):
    """Somebody else took over; this writer stops for good."""

    code = "fenced"


class Cancelled(Refused):
    """The person who started it stopped it."""

    code = "cancelled"
    exit_code = 130


class Unavailable(BasculeError):
    """The other side did not answer, or has no room; ask later."""

    code = "unavailable"
    exit_code = 3


class Off(Unavailable):
    """The machine does not run, which is nobody's mistake."""

    code = "machine-off"


class Underway(Unavailable):
    """It was begun, or somebody was told to, and it has not ended: ask again with the same words."""

    code = "under-way"


class Damaged(BasculeError):
    """Bytes are not what was written. Stop, and keep the evidence."""

    code = "damaged"
    exit_code = 4
