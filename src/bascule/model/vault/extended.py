"""What clients of Azure leave with a vault and ask for again; nothing here is opened by it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bascule.model.errors import Refused

_MAX = 4096


@dataclass(frozen=True, slots=True)
class ExtendedInfo:
    """Keys and a word of how they are used, of a vault that has one of these."""

    vault: str
    integrity_key: str = field(default="", repr=False)
    encryption_key: str = field(default="", repr=False)
    thumbprint: str = ""
    algorithm: str = "None"
    id: str = "default"

    def __post_init__(self) -> None:
        if any(len(word) > _MAX for word in (self.integrity_key, self.encryption_key, self.thumbprint)):
            raise Refused("a key is too long", cure=f"{_MAX} characters at most")
        if not self.algorithm.isalnum() or len(self.algorithm) > 32:
            raise Refused(f"{self.algorithm[:40]!r} is no algorithm", cure="name None")
