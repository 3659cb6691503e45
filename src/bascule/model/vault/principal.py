"""Who signs in: programs, each with secrets of its own (R-OP-3).

Of a secret only a salted digest is kept. Two may hold at once, so that one is changed without a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fabric import check_name

SECRETS_MAX = 4


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept of a secret: enough to know it again, and not to find it."""

    id: str
    salt: bytes
    digest: bytes
    made_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Principal:
    """A program that signs in. ``id`` is what it calls itself by, ``name`` is who it is in the vaults."""

    id: str
    name: str
    is_owner: bool = False
    secrets: tuple[Secret, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "a service principal")
