"""A device that asks a person to sign in for it elsewhere (RFC 8628): it shows a code, and waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """``id`` is the digest of what the device alone knows, ``code`` what the person types.

    ``person`` and ``secret`` are who agreed, and the id of the password by which; empty until somebody does.
    """

    id: str
    code: str
    expires_at: float
    person: str = ""
    secret: str = ""
