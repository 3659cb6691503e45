"""Certificates: what the vault vouches for, and what a host makes of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate of a vault's says. ``public_key`` is the digest of the key that it vouches for."""

    text: str
    vault: str
    host: str
    serial: str
    public_key: str
    starts_at: float
    expires_at: float

    @property
    def renew_at(self) -> float:
        """Return when to ask for the next one: a third of the time is left for asking again and again."""
        return self.expires_at - (self.expires_at - self.starts_at) / 3


@dataclass(frozen=True, slots=True)
class Foreign:
    """What somebody else's certificate says; nobody vouches for it here. ``thumbprint`` is its SHA-1."""

    subject: str
    issuer: str
    thumbprint: str
    starts_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class DoorFiles:
    """What the door listens with: its certificate's and its key's files, and those whom it lets in."""

    certificate: Path
    key: Path
    authority: Path
    expires_at: float


@dataclass(frozen=True, slots=True)
class ApiFiles:
    """What the API listens with: its certificate with all that vouch for it, its key, the names it is for.

    ``trust`` is the file that clients know it by, none if systems do by themselves; ``fingerprint`` is that
    of the last certificate that is shown, which who comes for the first time may take on trust.
    """

    certificate: Path
    key: Path
    names: tuple[str, ...]
    trust: Path | None
    fingerprint: str
    expires_at: float


class Authority(Protocol):
    """The vault's own authority. It keeps no list: who is known and who is revoked, ``hosts`` says.

    Implementations raise Refused for what somebody handed in and is not right, Unavailable when their files
    cannot be written, Damaged when they cannot be read.
    """

    @property
    def vault(self) -> str:
        """Return the vault's id, which is part of each of its certificates."""

    @property
    def text(self) -> str:
        """Return the authority's own certificate, by which a host knows the vault's door."""

    def issue(self, request: str, host: str) -> Certificate:
        """Vouch for the key of a signing request, which has to be signed by that key itself.

        Nothing but the key is taken from the request.
        """

    def read(self, certificate: str | bytes) -> Certificate:
        """Return what a certificate of this authority's says, expired or not; refuse any other."""

    def describe(self, certificate: bytes) -> Foreign:
        """Return what a certificate says, in DER or PEM, whoever made it."""

    def check_proof(self, certificate: str, words: bytes, proof: str) -> None:
        """Refuse unless ``proof`` is a signature of ``words`` by the certificate's key."""

    def door(self) -> DoorFiles:
        """Return what the door listens with, renewed if a third of its time or less is left."""

    def api(self, names: tuple[str, ...]) -> ApiFiles:
        """Return what the API listens with, for names and addresses that clients call it by; as ``door``."""


class Credentials(Protocol):
    """What a host makes and proves by itself. A private key stays where it is made."""

    def make_key(self) -> bytes:
        """Return a new private key."""

    def request(self, key: bytes) -> str:
        """Return a signing request for a key."""

    def sign(self, key: bytes, words: bytes) -> str:
        """Return the proof that one has a key."""

    def read(self, certificate: str) -> Certificate:
        """Return what a certificate says; who it is of is not checked."""
