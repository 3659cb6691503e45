"""One thing that a server looks at, when it starts or is asked how it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bascule.model.errors import BasculeError


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and the error if that is not as it should be."""

    what: str
    message: str = ""
    error: BasculeError | None = None

    @property
    def is_met(self) -> bool:
        """Is it as it should be?"""
        return self.error is None

    @property
    def document(self) -> dict[str, object]:
        """Return the check for JSON."""
        cure = self.error.cure if self.error else ""
        return {"what": self.what, "is_met": self.is_met, "message": self.message, "cure": cure}


def checked(what: str, look: Callable[[], str]) -> Check:
    """Look at something."""
    try:
        return Check(what, look())
    except BasculeError as error:
        return Check(what, error.message, error)
