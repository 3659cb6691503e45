"""The sides of a vault's replications: sites, the hosts that joined them, their machines (R-W-2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bascule.model.errors import Refused
from bascule.model.policies import Policy

from .signs.disk import Disk

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FabricKind(StrEnum):
    """What a side is made of."""

    HOSTS = "hosts"


@dataclass(frozen=True, slots=True)
class Fabric:
    """One side of replications."""

    vault: str
    id: str
    kind: FabricKind = FabricKind.HOSTS

    def __post_init__(self) -> None:
        check_name(self.id, "a fabric")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Where hosts belong that join by a registration key; ``id`` is the key's."""

    vault: str
    id: str
    fabric: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Server:
    """A host that joined; ``id`` is the host's, ``name`` what people call it."""

    vault: str
    id: str
    fabric: str
    name: str
    registered_at: float
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class ProtectableItem:
    """A machine that a host says it has, with its disks. ``machine`` is what the host calls it (R-P-1)."""

    vault: str
    id: str
    fabric: str
    server: str
    machine: str
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicationPolicy:
    """A policy by its name (R-P-5). ``revision`` grows with each change of what it asks for."""

    vault: str
    id: str
    policy: Policy
    revision: int = 0

    def __post_init__(self) -> None:
        check_name(self.id, "a policy")


def check_name(name: str, what: str) -> None:
    """Refuse what cannot be a name."""
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be the name of {what}",
            cure="1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first",
            code="bad-name",
        )
