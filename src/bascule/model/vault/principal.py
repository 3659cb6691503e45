"""Who signs in: programs, each with secrets of its own, and people with a password each (R-OP-3).

Of a secret only a salted digest is kept. Of a program two may hold at once, so that one is changed without a
gap; who changes a password has the old one no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .fabric import check_name

SECRETS_MAX = 4


class Kind(StrEnum):
    """Who a principal is."""

    PROGRAM = "program"
    PERSON = "person"


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
    """Who signs in: a program by its ``id``, a person by the ``name``. In vaults both are their name."""

    id: str
    name: str
    is_owner: bool = False
    secrets: tuple[Secret, ...] = ()
    kind: Kind = Kind.PROGRAM

    def __post_init__(self) -> None:
        check_name(self.name, "a user" if self.kind is Kind.PERSON else "a service principal")


@dataclass(frozen=True, slots=True)
class Device:
    """What asks a person to sign in for it elsewhere (RFC 8628): it shows a code, and waits.

    ``id`` is the digest of what the device alone knows, ``code`` what the person types.

    ``person`` and ``secret`` are who agreed, and the id of the password by which; empty until somebody does.
    """

    id: str
    code: str
    expires_at: float
    person: str = ""
    secret: str = ""
