"""Keys: who may read a vault.

One data key, made with the vault, is wrapped by any number of key-encryption
keys: key files and passphrases. Each wrapping is an object of its own, so keys
are added and removed without touching data. Rotation changes who can open the
vault; it does not help against somebody who already holds the data key.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bascule.model.errors import Damaged, Missing, Refused
from bascule.ports.chance import Ids
from bascule.ports.objects import ObjectStore

from .format import names
from .format.plain import field, fields_of, hex_field, read_plain

KEY_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_FILE_HEAD = "bascule-key-1:"
_SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}
# 256 MiB: a key object that somebody planted must not take more.
_SCRYPT_MAX = {"n": 1 << 18, "r": 8, "p": 4}
DAMAGED = "damaged"


class Unlocker(Protocol):
    """Something that wraps and unwraps a data key."""

    @property
    def kind(self) -> str: ...

    def new_parameters(self, ids: Ids, /) -> dict[str, Any]:
        """Return the public parameters of a new wrapping."""

    def wrapping_key(self, parameters: dict[str, Any]) -> bytes | None:
        """Return the key for such parameters, or None if they are somebody else's."""


class KeyFile:
    """A file of 32 random bytes in text form; whoever has it opens the vault."""

    kind = "file"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "KeyFile(***)"

    @property
    def fingerprint(self) -> str:
        """Return what tells key files apart without giving them away."""
        return blake3(self._key, derive_key_context="bascule 1 key file fingerprint").hexdigest(8)

    @classmethod
    def create(cls, path: Path, ids: Ids) -> KeyFile:
        """Make a new key file; an existing file is never overwritten."""
        made = cls(ids.random(KEY_BYTES))
        text = _FILE_HEAD + base64.b64encode(made._key + made._check()).decode() + "\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Refused(
                f"{path} exists", cure="name a new file; a key file is never overwritten"
            ) from error
        except OSError as error:
            raise Refused(f"cannot create key file {path}: {error.strerror}") from error
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        return made

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """Read a key file, and notice one that was cut or mistyped."""
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"cannot read key file {path}: {error}", cure="name the vault's key file"
            ) from error
        try:
            raw = base64.b64decode(text.removeprefix(_FILE_HEAD), validate=True)
        except ValueError:
            raw = b""
        made = cls(raw[:KEY_BYTES])
        if not text.startswith(_FILE_HEAD) or len(raw) != KEY_BYTES + 4 or raw[KEY_BYTES:] != made._check():
            raise Refused(f"{path} is no Bascule key file, or was cut or changed")
        return made

    def _check(self) -> bytes:
        return blake3(self._key, derive_key_context="bascule 1 key file check").digest(4)

    def new_parameters(self, _ids: Ids) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint}

    def wrapping_key(self, parameters: dict[str, Any]) -> bytes | None:
        if parameters.get("fingerprint") != self.fingerprint:
            return None
        return blake3(self._key, derive_key_context="bascule 1 key file wrap").digest()


class Passphrase:
    """Words that a person remembers, stretched by scrypt over 64 MiB."""

    kind = "passphrase"

    def __init__(self, text: str) -> None:
        if not text:
            raise Refused("the passphrase is empty")
        # One spelling of accents, so that a passphrase typed on another keyboard is the same.
        import unicodedata

        self._text = unicodedata.normalize("NFC", text).encode(errors="surrogateescape")

    def __repr__(self) -> str:
        return "Passphrase(***)"

    def new_parameters(self, ids: Ids) -> dict[str, Any]:
        return {"salt": ids.random(SALT_BYTES).hex(), **_SCRYPT}

    def wrapping_key(self, parameters: dict[str, Any]) -> bytes | None:
        what = "a key object"
        salt = hex_field(parameters, "salt", SALT_BYTES, what)
        cost = {name: int(field(parameters, name, int, what)) for name in _SCRYPT}
        if any(not 0 < cost[name] <= _SCRYPT_MAX[name] for name in cost):
            raise Damaged(f"{what} asks for scrypt work that no Bascule writes")
        try:
            from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

            return Scrypt(salt=salt, length=KEY_BYTES, **cost).derive(self._text)
        except ValueError as error:
            raise Damaged(f"{what} asks for scrypt work that is none: {error}") from error


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A wrapping of the data key, as a listing shows it."""

    id: str
    kind: str
    label: str
    created_at: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How a wrapped key object is made: the vault it is for, and what the listing will say."""

    vault: bytes
    label: str
    created_at: float


def wrap(unlocker: Unlocker, data_key: bytes, wrapping: Wrapping, ids: Ids) -> tuple[str, bytes]:
    """Return the id and the object that lets ``unlocker`` open the vault."""
    key_id = ids.random(8).hex()
    fields: dict[str, Any] = {
        "version": 1,
        "id": key_id,
        "kind": unlocker.kind,
        "label": wrapping.label,
        "created_at": wrapping.created_at,
        "parameters": unlocker.new_parameters(ids),
    }
    key = unlocker.wrapping_key(fields["parameters"])
    if key is None:
        raise Refused("this key cannot wrap")
    nonce = ids.random(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, data_key, _bound(wrapping.vault, fields))
    return key_id, json.dumps(fields | {"nonce": nonce.hex(), "wrapped": sealed.hex()}, indent=1).encode()


def _bound(vault: bytes, fields: dict[str, Any]) -> bytes:
    return vault + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def parse(data: bytes) -> dict[str, Any]:
    """Read a key object, which is plain text, or raise Damaged."""
    what = "a key object"
    fields = fields_of(data, what)
    if field(fields, "version", int, what) != 1:
        raise Damaged(f"{what} was written by a newer Bascule than this one")
    for name in ("id", "kind", "label"):
        field(fields, name, str, what)
    field(fields, "created_at", float, what)
    field(fields, "parameters", dict, what)
    hex_field(fields, "nonce", NONCE_BYTES, what)
    hex_field(fields, "wrapped", KEY_BYTES + TAG_BYTES, what)
    return fields


def unwrap(unlocker: Unlocker, fields: dict[str, Any], vault: bytes) -> bytes | None:
    """Return the data key, or None if this object is not for this unlocker."""
    if fields["kind"] != unlocker.kind:
        return None
    key = unlocker.wrapping_key(fields["parameters"])
    if key is None:
        return None
    bound = {name: value for name, value in fields.items() if name not in ("nonce", "wrapped")}
    nonce, wrapped = bytes.fromhex(fields["nonce"]), bytes.fromhex(fields["wrapped"])
    try:
        return AESGCM(key).decrypt(nonce, wrapped, _bound(vault, bound))
    except InvalidTag:
        return None


def unlock(objects: ObjectStore, unlocker: Unlocker, vault: bytes) -> bytes:
    """Return the vault's data key; a damaged key object keeps nobody out who has another one."""
    damaged: Damaged | None = None
    for info in objects.list(key_prefix(vault)):
        try:
            data_key = unwrap(unlocker, parse(read_plain(objects, info.name)), vault)
        except Missing:
            continue  # removed since it was listed
        except Damaged as error:
            damaged = Damaged(f"{info.name}: {error.message}")
            continue
        if data_key is not None:
            return data_key
    if damaged is not None:
        raise damaged
    raise Refused(
        f"this {unlocker.kind} does not open vault {vault.hex()}",
        cure="name a key file or passphrase that `bascule key ls` lists for this vault",
        code="wrong-key",
    )


def key_prefix(vault: bytes) -> str:
    """Return the prefix of a vault's key objects."""
    return f"{names.KEYS}{vault.hex()}/"


def listed(objects: ObjectStore, vault: bytes) -> Iterator[KeyInfo]:
    """Yield what may be shown of each key object; of one that cannot be read, why."""
    for info in objects.list(key_prefix(vault)):
        key_id = info.name.rsplit("/", 1)[1]
        with suppress(Missing):  # removed since it was listed
            try:
                yield _info_of(parse(read_plain(objects, info.name)), key_id)
            except Damaged as error:
                yield KeyInfo(key_id, DAMAGED, error.message, info.modified, "")


def _info_of(fields: dict[str, Any], key_id: str) -> KeyInfo:
    if fields["id"] != key_id:
        raise Damaged(f"this is the key object of {fields['id']}, under another name")
    fingerprint = str(fields["parameters"].get("fingerprint", ""))
    return KeyInfo(key_id, fields["kind"], fields["label"], fields["created_at"], fingerprint)
