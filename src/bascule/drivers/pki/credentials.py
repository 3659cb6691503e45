"""What a host makes by itself: its key, a signing request, a proof that it has the key."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bascule.model.errors import Damaged
from bascule.ports.vault.pki import Certificate

from .certificates import CURVE, SIGNING, described, parsed


class HostCredentials:
    """See ``ports.vault.pki.Credentials``."""

    def make_key(self) -> bytes:
        """Return a new private key."""
        return key_text(ec.generate_private_key(CURVE()))

    def request(self, key: bytes) -> str:
        """Return a signing request; its subject is empty, for the vault takes nothing of it but the key."""
        made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        signed = made.sign(loaded(key), hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, key: bytes, words: bytes) -> str:
        """Return the proof that one has a key."""
        return base64.b64encode(loaded(key).sign(words, SIGNING)).decode()

    def read(self, certificate: str) -> Certificate:
        """Return what a certificate says."""
        return described(parsed(certificate))


def key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def loaded(key: bytes) -> ec.EllipticCurvePrivateKey:
    """Return a private key from its text."""
    try:
        found = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise Damaged(
            f"a private key cannot be read: {error}", cure="bring it back, or register anew"
        ) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise Damaged("a private key is of another kind", cure="bring it back, or register anew")
    return found
