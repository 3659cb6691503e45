"""Reading certificates and signing requests: everything here was handed in by somebody."""

from __future__ import annotations

import base64
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bascule.model.errors import Refused
from bascule.ports.vault.pki import Certificate, Foreign

CURVE = ec.SECP256R1
SIGNING = ec.ECDSA(hashes.SHA256())


def parsed(certificate: str | bytes) -> x509.Certificate:
    """Return a certificate from its text or its bytes, or raise Refused."""
    try:
        if isinstance(certificate, str):
            return x509.load_pem_x509_certificate(certificate.encode())
        return x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise Refused(f"what was handed in is no certificate: {error}", code="bad-certificate") from error


def described(found: x509.Certificate) -> Certificate:
    """Return what a certificate says."""
    return Certificate(
        text_of(found),
        _name(found, NameOID.ORGANIZATION_NAME),
        _name(found, NameOID.COMMON_NAME),
        f"{found.serial_number:x}",
        digest_of(public_key_of(found)),
        found.not_valid_before_utc.timestamp(),
        found.not_valid_after_utc.timestamp(),
    )


def foreign(certificate: bytes) -> Foreign:
    """Return what somebody else's certificate says, or raise Refused."""
    found = parsed(certificate.decode(errors="replace") if certificate[:10] == b"-----BEGIN" else certificate)
    try:
        subject, issuer = found.subject.rfc4514_string(), found.issuer.rfc4514_string()
    except ValueError as error:
        raise Refused(f"the certificate names nobody: {error}", code="bad-certificate") from error
    return Foreign(
        *(subject, issuer, found.fingerprint(hashes.SHA1()).hex().upper()),
        found.not_valid_before_utc.timestamp(),
        found.not_valid_after_utc.timestamp(),
    )


def requested_key(request: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request that is signed by that key, or raise Refused."""
    try:
        found = x509.load_pem_x509_csr(request.encode())
        is_signed = found.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise Refused(f"the signing request cannot be read: {error}", code="bad-request") from error
    if not is_signed:
        raise Refused("the signing request is not signed by its own key", code="bad-request")
    return _curve_key(found, "bad-request")


def public_key_of(found: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return a certificate's key, or raise Refused."""
    return _curve_key(found, "bad-certificate")


def check_signature(key: ec.EllipticCurvePublicKey, words: bytes, proof: str) -> None:
    """Refuse what the key did not sign."""
    try:
        key.verify(base64.b64decode(proof, validate=True), words, SIGNING)
    except (ValueError, InvalidSignature) as error:
        raise Refused("the proof was not made by the certificate's key", code="bad-proof") from error


def digest_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return the digest by which a public key is known."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return what a person compares a certificate by, as ``openssl x509 -fingerprint -sha256`` spells it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names and addresses that a certificate is for."""
    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except ValueError as error:
        raise Refused(f"the certificate's names cannot be read: {error}", code="bad-certificate") from error
    return tuple(str(one.value) for one in said)


def text_of(certificate: x509.Certificate) -> str:
    """Return a certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _curve_key(
    holder: x509.Certificate | x509.CertificateSigningRequest, code: str
) -> ec.EllipticCurvePublicKey:
    try:
        key = holder.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(f"its key cannot be read: {error}", code=code) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVE):
        raise Refused("its key is not of the curve P-256", code=code)
    return key


def _name(found: x509.Certificate, of: x509.ObjectIdentifier) -> str:
    try:
        values = found.subject.get_attributes_for_oid(of)
    except ValueError as error:
        raise Refused(f"the certificate's subject cannot be read: {error}", code="bad-certificate") from error
    return str(values[0].value) if len(values) == 1 else ""
