"""A certificate for the API that its owner brought, of whichever authority: checked before it is shown."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bascule.model.errors import Refused, Unavailable
from bascule.ports.chance import Clock
from bascule.ports.vault.pki import ApiFiles

from .certificates import fingerprint_of, names_of

_CODE = "bad-certificate"


def brought(certificate: Path, key: Path, clock: Clock) -> ApiFiles:
    """Return what the API listens with, or refuse files that no client would take."""
    chain = _chain(certificate)
    leaf, last = chain[0], chain[-1]
    if _public(key) != leaf.public_key():
        raise Refused(f"{key} is not the key of {certificate}", cure="name a pair", code=_CODE)
    expires_at = leaf.not_valid_after_utc.timestamp()
    if expires_at <= clock.now():
        raise Refused(
            f"{certificate} has expired on {leaf.not_valid_after_utc:%Y-%m-%d}",
            cure="have it renewed",
            code="expired-certificate",
        )
    names = tuple(name for name in names_of(leaf) if "*" not in name)
    is_own_authority = last.issuer == last.subject
    trust = certificate.absolute() if is_own_authority else None
    return ApiFiles(certificate, key, names, trust, fingerprint_of(last), expires_at)


def _chain(certificate: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_bytes(certificate))
    except ValueError as error:
        cure = "name a file of PEM, the server's certificate first"
        raise Refused(f"{certificate} holds no certificate: {error}", cure=cure, code=_CODE) from error


def _public(key: Path) -> object:
    try:
        return load_pem_private_key(_bytes(key), None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        cure = "name a file of PEM, without a passphrase"
        raise Refused(f"{key} holds no private key: {error}", cure=cure, code=_CODE) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        cure = "see that it is there, and that this user may read it"
        raise Unavailable(f"cannot read {path}: {error.strerror}", cure=cure) from error
