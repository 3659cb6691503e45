"""A vault: everything that an operator manages, apart from every other (R-W-1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bascule.model.errors import Refused

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,49}")


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault, by its name."""

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Refused(
                f"{self.name!r} cannot be the name of a vault",
                cure="2 to 50 letters, digits and hyphens, a letter first",
            )
