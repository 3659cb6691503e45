"""A vault's own authority, in a folder.

    vault          the vault's id
    authority.key  its private key, 0600; whoever has it can be every host and the door
    authority.pem  its certificate, which hosts get with their registration key
    door.key       the door's private key, 0600
    door.pem       the door's certificate
    api.key        the API's private key, 0600
    api.pem        the API's certificate, for the names that clients call it by, and the authority's own

Order of making: vault and key first, the certificate last: an authority exists when its certificate does.
The keys of doors are kept over renewals, so a certificate always fits its key.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.ports.chance import Clock, Ids
from bascule.ports.vault.pki import ApiFiles, Certificate, DoorFiles, Foreign
from bascule.wire.control.invitation import door_name

from .certificates import (
    CURVE,
    check_signature,
    described,
    fingerprint_of,
    foreign,
    names_of,
    parsed,
    public_key_of,
    requested_key,
    text_of,
)
from .credentials import key_text, loaded

AUTHORITY_DAYS = 20 * 365
HOST_DAYS = 90
DOOR_DAYS = 90
# Clocks of two machines differ.
_BEFORE = timedelta(hours=1)


class FolderAuthority:
    """See ``ports.vault.pki.Authority``."""

    def __init__(self, folder: Path, clock: Clock, ids: Ids, *, host_days: float = HOST_DAYS) -> None:
        self._folder = folder
        self._clock = clock
        self._ids = ids
        self._host_days = host_days
        try:
            self.vault = (folder / "vault").read_text()
            self._key = loaded((folder / "authority.key").read_bytes())
            self.text = (folder / "authority.pem").read_text()
        except FileNotFoundError as error:
            raise Missing(
                f"there is no authority in {folder}", cure="make it: `bascule door run` or `bascule door key`"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot read {error.filename}: {error.strerror}") from error
        self._own = parsed(self.text)
        if self._own.public_key() != self._key.public_key():
            raise Damaged(f"key and certificate in {folder} are not of one authority", cure="bring both back")

    @classmethod
    def make(cls, folder: Path, clock: Clock, ids: Ids) -> FolderAuthority:
        """Make an authority in a folder, or go on with one that is there."""
        if not (folder / "authority.pem").exists():
            _make(folder, clock, ids)
        return cls(folder, clock, ids)

    def issue(self, request: str, host: str) -> Certificate:
        """Vouch for the key of a signing request."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return described(self._signed(requested_key(request), host, usage, self._host_days, ()))

    def read(self, certificate: str | bytes) -> Certificate:
        """Return what a certificate of ours says; that of the door is none of a host's."""
        found = parsed(certificate)
        try:
            found.verify_directly_issued_by(self._own)
            uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            raise Refused("the certificate is not of this vault", code="foreign-certificate") from error
        said = described(found)
        if ExtendedKeyUsageOID.CLIENT_AUTH not in uses or said.vault != self.vault:
            raise Refused("the certificate is no host's of this vault", code="foreign-certificate")
        return said

    def describe(self, certificate: bytes) -> Foreign:
        """Return what a certificate says, whoever made it."""
        return foreign(certificate)

    def check_proof(self, certificate: str, words: bytes, proof: str) -> None:
        """Refuse unless the certificate's key signed the words."""
        check_signature(public_key_of(parsed(certificate)), words, proof)

    def door(self) -> DoorFiles:
        """Return what the door listens with."""
        name = door_name(self.vault)
        return self._served("door", name, (name,))

    def api(self, names: tuple[str, ...]) -> ApiFiles:
        """Return what the API listens with. It shows the authority too, for who takes that on trust."""
        made = self._served("api", f"api.{self.vault}", names, self.text)
        shown = fingerprint_of(self._own)
        return ApiFiles(made.certificate, made.key, names, made.authority, shown, made.expires_at)

    def _served(self, stem: str, name: str, names: tuple[str, ...], above: str = "") -> DoorFiles:
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        if not key.exists():
            write(key, key_text(ec.generate_private_key(CURVE())), mode=0o600)
        text = certificate.read_text() if certificate.exists() else ""
        found = parsed(text) if text else None
        is_good = found is not None and set(names_of(found)) == {str(_general(one).value) for one in names}
        is_good = is_good and text.endswith(above)
        if found is None or not is_good or self._clock.now() >= described(found).renew_at:
            public, usage = loaded(key.read_bytes()).public_key(), ExtendedKeyUsageOID.SERVER_AUTH
            found = self._signed(public, name, usage, DOOR_DAYS, names)
            write(certificate, (text_of(found) + above).encode(), mode=0o644)
        return DoorFiles(certificate, key, self._folder / "authority.pem", described(found).expires_at)

    def _signed(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str,
        usage: x509.ObjectIdentifier,
        days: float,
        names: tuple[str, ...],
    ) -> x509.Certificate:
        made = _begun(self._clock, self._ids, _subject(self.vault, name), days)
        made = made.issuer_name(self._own.subject).public_key(key)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if names:
            said = x509.SubjectAlternativeName([_general(one) for one in names])
            made = made.add_extension(said, critical=False)
        return made.sign(self._key, hashes.SHA256())


def _make(folder: Path, clock: Clock, ids: Ids) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {folder}: {error.strerror}") from error
    vault, key = ids.random(16).hex(), ec.generate_private_key(CURVE())
    write(folder / "vault", vault.encode(), mode=0o644)
    write(folder / "authority.key", key_text(key), mode=0o600)
    subject = _subject(vault, "authority")
    made = _begun(clock, ids, subject, AUTHORITY_DAYS).issuer_name(subject).public_key(key.public_key())
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(_CERTIFIES, critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    write(folder / "authority.pem", text_of(made.sign(key, hashes.SHA256())).encode(), mode=0o644)


_CERTIFIES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _general(name: str) -> x509.DNSName | x509.IPAddress:
    """Return a name or an address as certificates spell it."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise Refused(
            f"{name!r} cannot be the name of a server", cure="name it in ASCII", code="bad-name"
        ) from error


def _begun(clock: Clock, ids: Ids, subject: x509.Name, days: float) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(int(clock.now()), UTC)
    serial = int.from_bytes(ids.random(16), "big") >> 1 | 1
    made = x509.CertificateBuilder().subject_name(subject).serial_number(serial)
    return made.not_valid_before(now - _BEFORE).not_valid_after(now + timedelta(days=days))


def _subject(vault: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, vault),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def write(path: Path, data: bytes, *, mode: int) -> None:
    """Replace a file as a whole, durably; nobody else can read a secret one for a moment."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", cure="check its file system") from error
