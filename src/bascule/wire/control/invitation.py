"""The registration key as a file: all that a host needs to find the vault, to know it, and to be let in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from bascule.model.errors import Refused

from .strict import Fields, parsed

FORMAT = "bascule registration key"
FILE_BYTES = 64 << 10
ADDRESSES_MAX = 16


@dataclass(frozen=True, slots=True)
class Invitation:
    """``authority`` is the certificate by which the vault's door is known, ``addresses`` are HOST:PORT."""

    vault: str
    addresses: tuple[str, ...]
    authority: str
    key: str
    secret: str = field(repr=False)
    expires_at: float


def invitation_written(invitation: Invitation) -> bytes:
    """Return the file's content."""
    document = {"format": FORMAT, "version": 1, "needs": 1, **asdict(invitation)}
    return json.dumps(document | {"expires_at": int(invitation.expires_at)}, indent=1).encode() + b"\n"


def invitation_from(data: bytes) -> Invitation:
    """Read a registration key, or raise Refused."""
    found = parsed(data, FILE_BYTES)
    if found.text("format", default="") != FORMAT or found.whole("needs", default=0) != 1:
        raise Refused(
            "this is no registration key that this version reads", cure="download it again", code="bad-key"
        )
    return Invitation(
        found.word("vault"),
        addresses_from(found),
        found.text("authority", 8192),
        found.word("key"),
        found.text("secret"),
        found.whole("expires_at"),
    )


def addresses_from(found: Fields) -> tuple[str, ...]:
    """Return the addresses that a document names."""
    addresses = found.texts("addresses", ADDRESSES_MAX)
    for address in addresses:
        address_parts(address)
    if not addresses:
        raise Refused("no address is named", cure="name one: HOST:PORT", code="bad-address")
    return addresses


def address_parts(address: str) -> tuple[str, int]:
    """Return host and port of an address."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise Refused(
            f"{address!r} is no address", cure="write HOST:PORT, or [HOST]:PORT", code="bad-address"
        )
    return host.strip("[]"), int(port)


def door_name(vault: str) -> str:
    """Return the name that the door's certificate is for: its addresses may change."""
    return f"door.{vault}.bascule"
